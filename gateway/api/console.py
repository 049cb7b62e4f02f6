# SPDX-License-Identifier: GPL-3.0-or-later
"""``/``: the console. One page, no script, nothing from other hosts; it shows and does not change."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from gateway.ages import AGE_NAMES, in_words
from gateway.api.backlog import Shape, shapes
from gateway.api.deps import View
from gateway.api.gateway import GatewayView
from gateway.api.html import Child, Html, el, page, table
from gateway.api.records import words_of
from gateway.api.routes_status import status_of
from gateway.api.schemas import StatusOut
from gateway.model import JournalError

router = APIRouter(include_in_schema=False)

REFRESH_S = 10
_MOST_LETTERS = 50
_MOST_WORDS = 80


@router.get("/", response_class=HTMLResponse)
async def console(view: View) -> str:
    """Show how everything is, and again every ten seconds."""
    status = await status_of(view)
    nav = el("nav", el("a", "API", href="/docs"), el("a", "Metrics", href="/metrics"))
    header = el("header", el("h1", f"Crossband \u00b7 {status.name}"), nav)
    try:
        tables = [_backlog(await shapes(view), view.clock.now_ms()), await _dead_letters(view)]
    except JournalError as error:
        tables = [el("p", f"The journal can't be read: {error}", class_="state down")]
    footer = el("footer", el("p", f"Version {status.version}. Refreshed every {REFRESH_S} seconds."))
    main = el("main", _summary(status), _bridges(status), *tables)
    return page(f"Crossband {status.name}", header, main, footer, refresh_s=REFRESH_S)


def _summary(status: StatusOut) -> Html:
    running = in_words((status.now_ms - status.started_ms) / 1000)
    words = "Accepting messages" if status.ready else "Not accepting messages"
    words += f": {status.journal.reason}" if status.journal.reason else ""
    queue = status.queue
    told = f"Queue {queue.state}" + (f" \u00b7 {queue.engine}" if queue.engine else "")
    told += f": {queue.reason}" if queue.reason else ""
    return el(
        "section",
        el("p", words, class_=f"state {status.journal.state}"),
        el("p", told, class_=f"state {queue.state}"),
        el("p", f"Running for {running}.", class_="soft"),
    )


def _bridges(status: StatusOut) -> Html:
    rows: list[list[Child]] = [
        [
            one.name,
            one.kind,
            el("span", one.state, class_=f"state {one.state}"),
            in_words((status.now_ms - one.since_ms) / 1000),
            one.reason or ", ".join(f"{key} {value}" for key, value in one.describe.items()),
        ]
        for one in status.bridges
    ]
    heads = ["Bridge", "Kind", "State", "For", "Details"]
    return table("Bridges", heads, rows, empty="No bridge is configured.")


def _backlog(rows: tuple[Shape, ...], now_ms: int) -> Html:
    waiting: list[list[Child]] = [
        [
            row.destination,
            row.waiting,
            *row.ages,
            row.younger or "",
            "" if row.oldest_ms is None else in_words((now_ms - row.oldest_ms) / 1000),
        ]
        for row in rows
        if row.waiting
    ]
    heads = ["Destination", "Waiting", *AGE_NAMES, "Younger", "Oldest"]
    return table("Queue by age", heads, waiting, empty="Nothing waits.")


async def _dead_letters(view: GatewayView) -> Html:
    now_ms = view.clock.now_ms()
    rows: list[list[Child]] = [
        [
            el("code", letter.id),
            str(letter.to),
            letter.message.sender.name,
            _short(words_of(letter.message.content)),
            letter.reason,
            in_words((now_ms - letter.changed_ms) / 1000),
        ]
        for letter in await view.journal.failed(limit=_MOST_LETTERS, after=0)
    ]
    heads = ["Id", "To", "From", "Text", "Reason", "Failed"]
    return table("Dead letters", heads, rows, empty="None. What fails for good is kept here to be sent again.")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST_WORDS else f"{line[: _MOST_WORDS - 1]}\u2026"
