# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls other boxes: one POST, one answer, and the key that whoever answered proved."""

from __future__ import annotations

import asyncio
import errno
import ssl
import weakref
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, ClassVar, Self

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bridges.lan.tls import key_of
from bridges.lan.wire import MOST_BYTES
from gateway.model import LinkDown, ProtocolError, RateLimited, Rejected

CONNECT_S = 3.0
SILENT_S = 8.0
"""So long no byte may come: a cut of the air closes no connection."""
KEPT_ALIVE_S = 50.0
"""Less than the other end keeps it."""
MOST_CONNECTIONS = 512


class HungUp(LinkDown):
    """What is there ended the handshake: a box does so on whoever it doesn't know."""


class NotTaken(Rejected):
    """A box answered that it takes none of it."""

    def __init__(self, status: int) -> None:
        """`status`: of HTTP."""
        super().__init__(f"it answered {status}")
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What was answered, and by whose key."""

    key: Ed25519PublicKey
    body: bytes


class _Response(aiohttp.ClientResponse):
    """Notes who is at the other end before the connection goes back to its pool."""

    shown: Ed25519PublicKey | None = None
    transports: ClassVar[weakref.WeakSet[asyncio.Transport]]

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        transport = connection.transport
        self.shown = None if transport is None else key_of(transport.get_extra_info("ssl_object"))
        if transport is not None:
            self.transports.add(transport)
        return await super().start(connection)


class Caller:
    """The client's side; `async with`. Connections are kept, one to each place."""

    _session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._transports: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=MOST_CONNECTIONS, limit_per_host=1, keepalive_timeout=KEPT_ALIVE_S, use_dns_cache=False
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, connect=None, sock_read=SILENT_S),
            response_class=type("_Response", (_Response,), {"transports": self._transports}),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            trust_env=False,
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._session.close()
        for transport in list(self._transports):
            transport.abort()  # else it waits for the far end's goodbye, which a cut never brings
        await asyncio.sleep(0)

    async def post(self, address: str, path: str, body: bytes, tls: ssl.SSLContext) -> Answered:
        """Send and wait for the answer.

        LinkDown if nobody answers, RateLimited if it wants to be left alone for a while, Rejected if it
        wants nothing of us, ProtocolError if what answers is no box.
        """
        try:
            async with self._session.post(f"https://{address}{path}", data=body, ssl=tls, allow_redirects=False) as got:
                return await _answered(got)
        except TimeoutError as error:
            raise LinkDown(f"{address} doesn't answer") from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise LinkDown(f"{address} is no box of this community") from error
        except (aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as error:
            if _is_hang_up(error):
                raise HungUp(f"{address} hung up, as boxes do on whom they don't know") from error
            raise LinkDown(f"{address}: {_words(error)}") from error


async def _answered(got: aiohttp.ClientResponse) -> Answered:
    key = got.shown if isinstance(got, _Response) else None
    if key is None:
        raise ProtocolError("it proved no key")
    if got.status == HTTPStatus.TOO_MANY_REQUESTS:
        pause = got.headers.get("Retry-After", "")
        raise RateLimited(
            "it wants to be left alone", retry_after_s=float(pause) if pause.isascii() and pause.isdigit() else 30.0
        )
    if got.status != HTTPStatus.OK:
        raise NotTaken(got.status)
    body = await got.content.read(MOST_BYTES + 1)
    while not got.content.at_eof() and len(body) <= MOST_BYTES:
        body += await got.content.read(MOST_BYTES + 1 - len(body))
    if len(body) > MOST_BYTES:
        raise ProtocolError("it answered too much")
    return Answered(key=key, body=body)


def _is_hang_up(error: Exception) -> bool:
    """Whether there was a connection, and the far end ended it."""
    is_reset = isinstance(error, OSError) and error.errno in {errno.ECONNRESET, errno.EPIPE}
    return is_reset or isinstance(error, aiohttp.ServerDisconnectedError | ssl.SSLError)


def _words(error: Exception) -> str:
    """Return what went wrong without addresses, for a person."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or "can't be reached"
    return str(error) or type(error).__name__
