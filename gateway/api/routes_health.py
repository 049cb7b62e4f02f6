# SPDX-License-Identifier: GPL-3.0-or-later
"""Is it alive, is it ready, and its numbers."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from gateway.api.deps import View
from gateway.api.guard import TRUSTED
from gateway.api.metrics import CONTENT_TYPE, exposition

router = APIRouter(tags=["health"])


@router.get("/livez", response_class=PlainTextResponse)
async def livez() -> str:
    """Say ok: the event loop turns."""
    return "ok\n"


@router.get("/readyz", response_class=PlainTextResponse)
async def readyz(request: Request, view: View) -> Response:
    """Say whether messages can be stored: 200 or 503. Bridges and queue are shown, and don't decide.

    Why one is not ok is told to who has the token: reasons hold addresses.
    """
    journal, queue = view.journal_state(), view.queue_state()
    rows = [("journal", journal.state.is_usable, journal.reason)]
    rows.append(("queue", queue.state.is_usable, queue.reason))
    rows += [(f"bridge {status.name}", status.state.is_well, status.reason) for status in view.bridges()]
    told = bool(request.scope.get(TRUSTED))
    lines = [f"[{'+' if up else '-'}]{name} {_word(reason if told else '', up=up)}" for name, up, reason in rows]
    ready = rows[0][1]
    lines.append("ready" if ready else "not ready")
    return PlainTextResponse("\n".join(lines) + "\n", status_code=200 if ready else 503)


def _word(reason: str, *, up: bool) -> str:
    if up:
        return f"ok ({reason})" if reason else "ok"
    return reason or "not ok"


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(view: View) -> Response:
    """Return everything that can be counted, for Prometheus."""
    return Response(await exposition(view), media_type=CONTENT_TYPE)
