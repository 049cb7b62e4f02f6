# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP servers: the API on its address, the same for the CLI on a unix socket, bridges' listeners."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import uvicorn

from gateway.api import create_app
from gateway.api.gateway import GatewayView
from gateway.config import Settings
from gateway.connections import KEPT_ALIVE_S, MOST_AT_A_LISTENER, MOST_OPEN, Peers, connections_of
from gateway.directories import private_directory, unusable
from gateway.handed import Handed
from gateway.model import Bridge, GatewayError, Listener

log = structlog.get_logger()

BACKLOG = 128
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

    def __init__(self, view: GatewayView, bridges: Sequence[Bridge], handed: Handed | None = None) -> None:
        """`handed`: what is open already, at addresses that would be bound else."""
        self._view = view
        self._bridges = bridges
        self._handed = handed or Handed()
        self._servers: list[Server] = []
        self.listening = ""

    def open(self) -> list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        """Bind every address; return what serves them.

        GatewayError if an address is taken, ConfigError if the token can't be read; nothing is open then.
        """
        settings = self._view.settings
        outer, inner = create_app(self._view, local=False), create_app(self._view, local=True)
        with contextlib.ExitStack() as opened, contextlib.closing(self._handed):
            api = opened.enter_context(self._tcp(settings.api.host, settings.api.port, "[api] listen"))
            self.listening = _name(api)
            control = opened.enter_context(_unix(settings.gateway.control_socket))
            jobs = [("api", self._serving(outer, api)), ("control", self._serving(inner, control))]
            for bridge in self._bridges:
                if isinstance(bridge, Listener):
                    host, _, port = bridge.listen.rpartition(":")
                    key = f"[bridges.{bridge.name}] {_key_of(bridge, bridge.listen, settings)}"
                    sock = opened.enter_context(self._tcp(host.strip("[]"), int(port), key))
                    jobs.append((f"listen {bridge.name}", self._serving(bridge.app, sock, most=MOST_AT_A_LISTENER)))
            opened.pop_all()
        return jobs

    def stop(self) -> None:
        """Take no more requests, and end when those in hand are answered."""
        for server in self._servers:
            server.should_exit = True

    def _tcp(self, host: str, port: int, key: str) -> socket.socket:
        return self._handed.take(host, port) or _tcp(host, port, key)

    def _serving(
        self, app: Any, sock: socket.socket, *, most: int = MOST_OPEN
    ) -> Callable[[], Coroutine[Any, Any, None]]:
        server = server_of(app, most=most)
        self._servers.append(server)
        return partial(_until_stopped, server, sock)


def server_of(app: Any, *, most: int = MOST_OPEN) -> Server:
    """Return what serves an application to strangers. `most`: connections open at once."""
    return Server(
        uvicorn.Config(
            app,
            http=connections_of(Peers(most=most)),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_S,
            h11_max_incomplete_event_size=32 * 1024,
            timeout_keep_alive=KEPT_ALIVE_S,
            limit_concurrency=2 * most,  # of requests whose connection is gone; the rest is `Peers`
            ws="none",
        )
    )


async def _until_stopped(server: Server, sock: socket.socket) -> None:
    try:
        await server.serve(sockets=[sock])
    finally:
        sock.close()
    if not server.should_exit:
        raise GatewayError("an HTTP server ended by itself")


def _tcp(host: str, port: int, key: str) -> socket.socket:
    """Listen at once: two sockets may be bound to one address, but not both listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise GatewayError(f"can't listen on {at}: {error.strerror}. {_mend_of(error)}{key}") from error
    return sock


def _key_of(bridge: Bridge, address: str, settings: Settings) -> str:
    """Return which key of a bridge's table says where it listens."""
    table = settings.bridges[bridge.name].table if bridge.name in settings.bridges else {}
    return next((key for key, value in table.items() if value == address), "listen")


def _mend_of(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "Stop the program that is there, or name another port in "
    if error.errno == errno.EACCES:
        return "Ports below 1024 are systemd's to open (deploy/crossband-page.socket); or name a higher one in "
    return "Name an address of this box in "


def _name(sock: socket.socket) -> str:
    host, port, *_ = sock.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _unix(path: Path) -> socket.socket:
    """Bind a socket that only our own user may use. The data directory's lock says that no one else is on it."""
    private_directory(path.parent, "run_dir")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        sock.bind(str(path))
    except OSError as error:
        sock.close()
        raise unusable("control socket", path, error, "run_dir") from error
    finally:
        os.umask(mask)
    return sock
