# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands before the API: who may ask, under which name, and how much they may say.

On a LAN's plain HTTP browsers send no ``Sec-Fetch-*`` headers, so what they do send (``Origin``, ``Host``,
a content type no form can produce) has to be enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.access import Access
from gateway.api.problems import problem
from gateway.model.asgi import is_of_another_site, read_body, replayed

MAX_BODY_BYTES = 64 * 1024
BODY_WITHIN_S = 15.0
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_OPEN_PATHS = frozenset({"/livez", "/readyz"})
_PAGES = frozenset({"/", "/docs"})
TRUSTED = "crossband.trusted"
"""In the scope: whether who asks may know everything, by token or by being on this box."""
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="crossband"'}
_ALSO = 'Bearer realm="crossband"'
"""In a header of its own: Chromium reads one challenge a header, and never asked for the token."""
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """An ASGI layer around the application. `access` None: the private socket, where all are trusted."""

    def __init__(self, app: ASGIApp, *, access: Access | None) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through to the application, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        guarded = _with_headers(send)
        scope[TRUSTED] = self._trusts(scope)
        refusal = self._refusal(scope)
        if refusal is not None:
            answer = problem(*refusal)
            if answer.status_code == 401:  # noqa: PLR2004 # of HTTP
                answer.headers.append("WWW-Authenticate", _ALSO)
            await answer(scope, receive, guarded)
        elif scope["method"] in _SAFE:
            await self._app(scope, receive, guarded)
        else:
            await self._with_body(scope, receive, guarded)

    def _trusts(self, scope: Scope) -> bool:
        return self._access is None or self._access.admits(Headers(scope=scope).get("authorization", ""))

    def _refusal(self, scope: Scope) -> tuple[int, str, Mapping[str, str]] | None:
        headers = Headers(scope=scope)
        refusal = None if self._access is None else _stranger(self._access, scope, headers)
        if refusal is not None:
            return refusal
        if scope["method"] not in _SAFE:
            return _cross_site(headers) or _wrong_body(scope["method"], headers)
        may_be_linked = scope["path"] in _OPEN_PATHS or _is_visit(scope["path"], headers)
        return None if may_be_linked else _cross_site(headers)

    async def _with_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the whole body before the application sees any of it, chunked or not."""
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                body = await read_body(receive, MAX_BODY_BYTES)
        except TimeoutError:
            await problem(408, f"the body did not arrive within {BODY_WITHIN_S:.0f} s")(scope, receive, send)
            return
        if body is None:
            await problem(413, f"a body may have {MAX_BODY_BYTES} bytes", {"Connection": "close"})(scope, receive, send)
            return
        await self._app(scope, replayed(body, receive), send)


def _stranger(access: Access, scope: Scope, headers: Headers) -> tuple[int, str, Mapping[str, str]] | None:
    if not access.knows_host(headers.get("host", ""), str((scope.get("server") or ("",))[0])):
        return 421, "this box is not called that; add the name to api.hosts", {}
    if scope["path"] not in _OPEN_PATHS and not scope[TRUSTED]:
        return 401, "the token is missing or wrong", _CHALLENGE
    return None


def _is_visit(path: str, headers: Headers) -> bool:
    """Whether somebody follows another site's link to one of our pages, rather than that site asking unseen."""
    seen = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return path in _PAGES and seen and "origin" not in headers


def _cross_site(headers: Headers) -> tuple[int, str, Mapping[str, str]] | None:
    refusal = 403, "another site's page may not ask this", dict[str, str]()
    return refusal if is_of_another_site(headers, headers.get("origin")) else None


def _wrong_body(method: str, headers: Headers) -> tuple[int, str, Mapping[str, str]] | None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if method in _WITH_BODY and kind != "application/json":
        return 415, "send Content-Type: application/json", {}
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        return 400, "Content-Length is not a number", {}
    if int(length[:20]) > MAX_BODY_BYTES:
        return 413, f"a body may have {MAX_BODY_BYTES} bytes", {"Connection": "close"}
    return None


def _with_headers(send: Send) -> Send:
    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return add
