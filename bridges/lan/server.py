# SPDX-License-Identifier: GPL-3.0-or-later
"""The listener for other boxes: TLS with members' keys only, small bodies, and short patience."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bridges.lan.patience import ASKING_S, Patience
from bridges.lan.reception import Protocols, Reception
from bridges.lan.staying import Staying, noting
from bridges.lan.tls import Contexts, key_of
from bridges.lan.wire import MOST_BYTES
from bridges.lan.zones import zoned
from gateway.model import ConfigError, LinkDown

BODY_S = 10.0
LINGERING_S = 1.0
"""For what is sent on after it was refused."""
KEPT_ALIVE_S = 60.0
LAST_LOOK_S = 0.1
STOP_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request whose sender proved a key that we accept."""

    key: Ed25519PublicKey
    host: str
    """Where it came from."""
    body: bytes
    is_oversized: bool = False
    """`body` was more than a box may send, and isn't here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What it is answered; all but 200 ends the connection."""

    body: bytes = b""
    status: HTTPStatus = HTTPStatus.OK
    retry_after_s: float = 0.0


EVERY_ADDRESS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - what a configuration may say

Serve = Callable[[Asked], Awaitable[Answer]]


class Server:
    """Listens on one address, ``0.0.0.0`` and ``[::]`` meaning every one of v4 and v6."""

    def __init__(
        self,
        listen: str,
        contexts: Contexts,
        serve: Mapping[str, Serve],
        count: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`serve`: what answers a POST on each path; `count`: one more who was turned away, or spoke nonsense."""
        host, _, port = listen.rpartition(":")
        self._host = host.strip("[]")
        self._wanted = int(port)
        self._contexts = contexts
        self._serve = serve
        self._runner: web.AppRunner | None = None
        self._count = count
        self._reception: Reception | None = None
        self.port = 0
        """Where it listens; 0: nowhere now."""

    async def open(self) -> None:
        """Listen; LinkDown if the address can't be had."""
        app = web.Application(client_max_size=MOST_BYTES)
        patience = Patience(ASKING_S)
        for path, serve in self._serve.items():
            app.router.add_post(path, _handler(serve, patience))
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=noting(self._count),
            handle_signals=False,
            keepalive_timeout=KEPT_ALIVE_S,
            lingering_time=LINGERING_S,
            shutdown_timeout=STOP_S,
            auto_decompress=False,  # no box packs; what is packed may be a thousand times as much unpacked
        )
        await self._runner.setup()
        try:
            with _listening(self._host, self._wanted) as sockets:
                made = patience.limiting(self._runner.server)  # type: ignore[arg-type] # it makes protocols
                reception = Reception(
                    cast("Protocols", made), self._contexts.server, self._count, Staying(self._count).came
                )
                reception.open(sockets)
                self._reception = reception
                self.port = sockets[0].getsockname()[1]
        except OSError as error:
            await self.close()
            reason = f"can't listen on {self._host}:{self._wanted} for other boxes: {error.strerror}"
            raise LinkDown(f"{reason}. Name another address in sync") from error

    async def close(self) -> None:
        """Listen no more, and end what is open."""
        self.port = 0
        if self._reception is not None:
            await self._reception.close()
            self._reception = None
        if self._runner is not None:
            open_ones = [each.transport for each in (self._runner.server.connections if self._runner.server else ())]
            await self._runner.cleanup()
            for transport in filter(None, open_ones):
                transport.abort()  # else each waits for the far end's goodbye, which a cut never brings
            # What was aborted is closed when the loop comes round to it.
            await asyncio.sleep(LAST_LOOK_S)
            self._runner = None


def check_listen(listen: str) -> None:
    """ConfigError if it is no ``host:port``."""
    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:  # noqa: PLR2004 - the last port
        raise ConfigError(f"{listen!r} is no address", key="sync", mend='Write "0.0.0.0:8448"')


def _handler(serve: Serve, patience: Patience) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        transport = request.transport
        patience.asked(transport)
        key = None if transport is None else key_of(transport.get_extra_info("ssl_object"))
        if key is None or transport is None:
            return _response(Answer(status=HTTPStatus.FORBIDDEN))
        host = _host(transport.get_extra_info("peername"))
        body = await _body(request)
        return _response(await serve(Asked(key=key, host=host, body=body or b"", is_oversized=body is None)))

    return handle


def _host(peer: tuple[Any, ...]) -> str:
    """Return where somebody called from, so that it can be called back: a link-local address with its cable."""
    host, scope = str(peer[0]), peer[3] if len(peer) > 3 else 0  # noqa: PLR2004 - (host, port, flow, scope)
    return host if "%" in host else zoned(host, scope)


async def _body(request: web.Request) -> bytes | None:
    """Return what was sent; None if that was too much."""
    try:
        async with asyncio.timeout(BODY_S):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        return None
    except TimeoutError:
        raise web.HTTPRequestTimeout from None


def _response(answer: Answer) -> web.Response:
    response = web.Response(status=answer.status, body=answer.body)
    if answer.retry_after_s:
        response.headers["Retry-After"] = str(int(answer.retry_after_s) + 1)
    if answer.status is not HTTPStatus.OK:
        response.force_close()
    return response


@contextmanager
def _listening(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Bind; on an error all that was bound is closed again."""
    sockets: list[socket.socket] = []
    try:
        for family, at in _families(host):
            sock = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((at, port))
            port = port or sock.getsockname()[1]
            sock.setblocking(False)
        yield sockets
    except BaseException:
        for sock in sockets:
            sock.close()
        raise


def _families(host: str) -> list[tuple[socket.AddressFamily, str]]:
    """Return what to bind. asyncio takes ``::`` for v6 alone, and many a LAN has one of the two only."""
    if host in EVERY_ADDRESS:
        both = [(socket.AF_INET, "0.0.0.0")]  # noqa: S104
        return [*both, (socket.AF_INET6, "::")] if _has_v6() else both
    return [(socket.AF_INET6 if ":" in host else socket.AF_INET, host)]


def _has_v6() -> bool:
    """Whether the kernel has IPv6 at all: some boxes boot without."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True
