# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP servers: the API on its address, the same for the CLI on a unix socket, bridges' listeners."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import structlog
import uvicorn

from gateway.api import create_app
from gateway.api.gateway import GatewayView
from gateway.model import Bridge, GatewayError, Listener

log = structlog.get_logger()

GRACE_S = 3
"""How long open requests have once we stop; event streams were ended before."""


class Server(uvicorn.Server):
    """uvicorn, minus its signal handling: the gateway owns the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


class Servers:
    """Everything of ours that listens."""

    def __init__(self, view: GatewayView, bridges: Sequence[Bridge]) -> None:
        self._view = view
        self._bridges = bridges
        self._servers: list[Server] = []
        self.listening = ""

    async def open(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """Bind every address; return what serves them. GatewayError if an address is taken."""
        settings = self._view.settings
        api = _tcp(settings.api.host, settings.api.port)
        self.listening = _name(api)
        control = _unix(settings.gateway.control_socket)
        jobs = [
            ("api", self._serve(create_app(self._view, local=False), api)),
            ("control", self._serve(create_app(self._view, local=True), control)),
        ]
        for bridge in self._bridges:
            if isinstance(bridge, Listener):
                host, _, port = bridge.listen.rpartition(":")
                jobs.append((f"listen {bridge.name}", self._serve(bridge.app, _tcp(host.strip("[]"), int(port)))))
        return jobs

    def stop(self) -> None:
        """Take no more requests, and end when those in hand are answered."""
        for server in self._servers:
            server.should_exit = True

    def _serve(self, app: Any, sock: socket.socket) -> Coroutine[Any, Any, None]:
        server = Server(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE_S,
                h11_max_incomplete_event_size=32 * 1024,
                limit_concurrency=256,
                ws="none",
            )
        )
        self._servers.append(server)
        return _until_stopped(server, sock)


async def _until_stopped(server: Server, sock: socket.socket) -> None:
    try:
        await server.serve(sockets=[sock])
    finally:
        sock.close()
    if not server.should_exit:
        raise GatewayError("an HTTP server ended by itself")


def _tcp(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise GatewayError(f"can't listen on {host}:{port}: {error.strerror}. Is another program there?") from error
    return sock


def _name(sock: socket.socket) -> str:
    host, port, *_ = sock.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _unix(path: Path) -> socket.socket:
    """Bind a socket that only our own user may use. The data directory's lock says that no one else is on it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        sock.bind(str(path))
    except OSError as error:
        sock.close()
        raise GatewayError(f"can't make the control socket {path}: {error.strerror}") from error
    finally:
        os.umask(mask)
    return sock
