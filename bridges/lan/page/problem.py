# SPDX-License-Identifier: GPL-3.0-or-later
"""Says in words why something isn't answered as asked."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from bridges.lan.page.languages import chosen
from bridges.lan.page.rendering import answer, html

REASONS = (
    "host",
    "malformed",
    "large",
    "slow",
    "cross-site",
    "failed",
    "missing",
    "method",
    "often",
    "crowded",
    "form",
    "lapsed",
)
"""Each has its words in the template."""


def problem(request: Request, status: int, reason: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return one of `REASONS` as a page, in the browser's language."""
    try:
        language = chosen(request.headers.get("accept-language", ""), request.query_params.get("lang", ""))
    except ValueError:  # of a query that is no text; the reason stands all the same
        language = "en"
    return answer(request, html(language, "problem.html", reason=reason, visit=None), status, dict(headers or {}))
