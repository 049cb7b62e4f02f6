# SPDX-License-Identifier: GPL-3.0-or-later
"""What the homeserver asks of us, over HTTP: the application service API's ``/_matrix/app/v1``."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Protocol

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute

V1 = "/_matrix/app/v1"
MAX_BODY_BYTES = 32 * 1024 * 1024
"""A transaction holds at most 100 events of 64 KiB, and some receipts."""
AT_ONCE = 3
"""A homeserver sends one after the other, and a second one where it gave up waiting for us."""

_BEARER = "Bearer "


class Door(Protocol):
    """Who answers behind the listener."""

    @property
    def hs_token(self) -> str:
        """What the homeserver shows to be let in; empty: nobody is."""
        ...

    async def transaction(self, txn_id: str, body: bytes | None) -> bool:
        """Take a transaction in, None: one that is too large to be read; False: it must come again."""
        ...

    async def has_user(self, user_id: str) -> bool:
        """Whether this user is one of ours, and there from now on."""
        ...


def create_app(door: Door, routes: Sequence[BaseRoute] = ()) -> FastAPI:
    """Return the application; `routes`: what else is served on the same address."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, routes=list(routes))
    app.state.door = door
    app.state.room = asyncio.Semaphore(AT_ONCE)
    app.add_api_route(f"{V1}/transactions/{{txn_id}}", _transaction, methods=["PUT"])
    app.add_api_route(f"{V1}/users/{{user_id:path}}", _user, methods=["GET"])
    app.add_api_route(f"{V1}/rooms/{{alias:path}}", _alias, methods=["GET"])
    app.add_api_route(f"{V1}/ping", _ping, methods=["POST"])
    app.add_exception_handler(HTTPException, _other)
    return app


async def _transaction(request: Request) -> JSONResponse:
    if (refusal := _refusal(request)) is not None:
        return refusal
    room: asyncio.Semaphore = request.app.state.room
    if room.locked():
        return _error(HTTPStatus.SERVICE_UNAVAILABLE, "M_UNKNOWN", "one after the other")
    async with room:
        is_stored = await _door(request).transaction(request.path_params["txn_id"], await _body(request))
    # Anything but 200 makes the homeserver send the same again, and nothing else before.
    return _answer() if is_stored else _error(HTTPStatus.SERVICE_UNAVAILABLE, "M_UNKNOWN", "can't be stored now")


async def _user(request: Request) -> JSONResponse:
    if (refusal := _refusal(request)) is not None:
        return refusal
    is_there = await _door(request).has_user(request.path_params["user_id"])
    return _answer() if is_there else _error(HTTPStatus.NOT_FOUND, "M_NOT_FOUND", "no such user")


async def _alias(request: Request) -> JSONResponse:
    return _refusal(request) or _error(HTTPStatus.NOT_FOUND, "M_NOT_FOUND", "no such room")


async def _ping(request: Request) -> JSONResponse:
    return _refusal(request) or _answer()


async def _other(request: Request, error: Exception) -> JSONResponse:
    del request
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND
    return _error(HTTPStatus(status), "M_UNRECOGNIZED", "not served here")


def _door(request: Request) -> Door:
    door: Door = request.app.state.door
    return door


def _refusal(request: Request) -> JSONResponse | None:
    given = request.headers.get("authorization", "")
    token = _door(request).hs_token
    shown = given.removeprefix(_BEARER).encode() if given.startswith(_BEARER) else b""
    if token and hmac.compare_digest(shown, token.encode()):
        return None
    return _error(HTTPStatus.FORBIDDEN, "M_FORBIDDEN", "not the homeserver's token")


async def _body(request: Request) -> bytes | None:
    """Return the body; None where it is too large: it is read to its end then, for the answer has to be read."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
        else:
            chunks.clear()
    return None if size > MAX_BODY_BYTES else b"".join(chunks)


def _answer(content: Mapping[str, Any] | None = None) -> JSONResponse:
    return JSONResponse(dict(content or {}))


def _error(status: HTTPStatus, errcode: str, words: str) -> JSONResponse:
    return JSONResponse({"errcode": errcode, "error": words}, status_code=status)
