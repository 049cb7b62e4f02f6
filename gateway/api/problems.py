# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors as ``application/problem+json`` (RFC 9457), each with a reason a person can read."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from gateway.model import GatewayError, JournalError, OutboxError
from gateway.status import TooManySubscribers

MEDIA_TYPE = "application/problem+json"
_MAX_DETAIL = 500


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an answer that says what is wrong."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(content, status_code=status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of this application so."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(GatewayError, _unable)
    app.add_exception_handler(Exception, _broken)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    reasons = [f"{_place(found['loc'])}: {found['msg']}" for found in error.errors()[:5]]
    return problem(422, "; ".join(reasons)[:_MAX_DETAIL])


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    return problem(error.status_code, str(error.detail), error.headers)


async def _unable(_request: Request, error: Exception) -> JSONResponse:
    expected = isinstance(error, JournalError | OutboxError | TooManySubscribers)
    return problem(503 if expected else 500, str(error), {"Retry-After": "5"} if expected else None)


async def _broken(_request: Request, _error: Exception) -> JSONResponse:
    return problem(500, "the gateway made a mistake; its log says more")


def _place(loc: tuple[str | int, ...]) -> str:
    return ".".join(str(part) for part in loc if part != "body") or "body"
