# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands before the page: names, sizes, origins, and the headers every answer has.

On a LAN's plain HTTP browsers send no ``Sec-Fetch-*`` headers: ``Origin``, ``Referer`` and ``Host`` have to do.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.model import LinkDown
from gateway.model.asgi import is_of_another_site, read_body, replayed

log = structlog.get_logger()

MAX_BODY_BYTES = 64 * 1024
MAX_HEAD_BYTES = 16 * 1024
MAX_PATH_BYTES = 1024
BODY_WITHIN_S = 15.0
_SAFE = frozenset({"GET", "HEAD"})
_VERSIONS = frozenset({"1.0", "1.1"})
_ONCE = frozenset({b"host", b"content-length", b"transfer-encoding", b"content-type", b"origin", b"referer"})
POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors {ancestors}"
)
_HEADERS = {
    "Content-Security-Policy": POLICY.format(ancestors="'none'"),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Addresses hold who somebody is, and no other site hears them. Not "no-referrer": under that a form's Origin is
    # "null" (Fetch, "append a request Origin header"), which any site can send.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Refuse = Callable[[int, str, Scope, Receive, Send], Awaitable[None]]
"""Answers with a status, and with words for a reason."""


@dataclass(kw_only=True)
class Refused:
    """How many requests were refused, by status: what an operator can see of an attack."""

    by_status: dict[int, int] = field(default_factory=dict)

    def count(self, status: int) -> None:
        """One more."""
        self.by_status[status] = self.by_status.get(status, 0) + 1


class Guard:
    """An ASGI layer around the application."""

    def __init__(self, app: ASGIApp, *, names: Collection[str], refuse: Refuse, refused: Refused) -> None:
        """`names`: which this box has, in lower case, without port."""
        self._app = app
        self._names = frozenset(names)
        self._refuse = refuse
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it; an error inside never shows where it came from."""
        if scope["type"] != "http":
            return
        begun = _Begun(send)
        try:
            await self._guarded(scope, receive, begun)
        except Exception as error:  # noqa: BLE001  # whatever it is, the path may not get into a log: it is a capability
            log.warning("a request of the page failed", kind=type(error).__name__)
            if not begun.has_begun:
                # What is said here can't be read just now: that mends itself.
                await self._say_no(503 if isinstance(error, LinkDown) else 500, "failed", scope, receive, begun)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = _malformed(scope) or self._stranger(scope) or _cross_site(scope)
        if refusal is not None:
            await self._say_no(*refusal, scope, receive, send)
        elif scope["method"] in _SAFE:
            await self._app(scope, receive, send)
        else:
            await self._with_body(scope, receive, send)

    def _stranger(self, scope: Scope) -> tuple[int, str] | None:
        """Refuse names that aren't ours (DNS rebinding). An address can't be rebound: it is what it says."""
        name = host_of(Headers(scope=scope).get("host", ""))
        return None if name in self._names or _is_address(name) else (421, "host")

    async def _with_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                body = await read_body(receive, MAX_BODY_BYTES)
        except TimeoutError:
            await self._say_no(408, "slow", scope, receive, send)
            return
        if body is None:
            await self._say_no(413, "large", scope, receive, send)
            return
        await self._app(scope, replayed(body, receive), send)

    async def _say_no(self, status: int, reason: str, scope: Scope, receive: Receive, send: Send) -> None:
        self._refused.count(status)
        await self._refuse(status, reason, scope, receive, send)


class _Begun:
    """Sends, adds the headers, and knows whether an answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


def host_of(netloc: str) -> str:
    """Return the name of a ``Host`` header, without port, in lower case; empty: it is none."""
    try:
        return (urlsplit(f"//{netloc}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _malformed(scope: Scope) -> tuple[int, str] | None:
    """Refuse what two readers could read differently, or what is larger than any browser has to send."""
    if scope["http_version"] not in _VERSIONS or not scope["path"].startswith("/"):
        return 400, "malformed"  # such as an address that names a host: there would be two to choose from
    headers = scope["headers"]
    names = [name.lower() for name, _ in headers]
    if any(names.count(name) > 1 for name in _ONCE) or {b"content-length", b"transfer-encoding"} <= set(names):
        return 400, "malformed"
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEAD_BYTES:
        return 431, "large"
    if len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"") > MAX_PATH_BYTES:
        return 414, "large"
    length = Headers(scope=scope).get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        return 400, "malformed"
    return (413, "large") if int(length[:20]) > MAX_BODY_BYTES else None


def _cross_site(scope: Scope) -> tuple[int, str] | None:
    """Refuse what another site's page sends. A browser that has neither header is left to the form's token."""
    if scope["method"] in _SAFE:
        return None
    return (403, "cross-site") if is_foreign(Headers(scope=scope)) else None


def is_foreign(headers: Headers) -> bool:
    """Whether another site's page had a browser send this: our own pages name themselves in ``Referer``, too."""
    return is_of_another_site(headers, headers.get("origin") or headers.get("referer"))
