# SPDX-License-Identifier: GPL-3.0-or-later
"""``/``: the console. One page, no script, nothing from other hosts; it shows and does not change."""

from __future__ import annotations

from dataclasses import astuple, fields

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from gateway.ages import AGE_NAMES, in_words
from gateway.api.deps import View
from gateway.api.gateway import GatewayView
from gateway.api.html import Child, Html, el, page, table
from gateway.api.routes_outages import listed
from gateway.api.routes_status import status_of
from gateway.api.schemas import StatusOut
from gateway.backlog import Shape, shapes
from gateway.journal import Became, DeadLetters
from gateway.model import JournalError, words_of
from gateway.routing import Route

router = APIRouter(include_in_schema=False)

REFRESH_S = 10
_MOST_LETTERS = 50
_MOST_OUTAGES = 20
_MOST_ROUTES = 200
_MOST_ASKING = 50
_MOST_WORDS = 80
_COUNT_FOR_S = 0.3
"""The page comes again and again: the ages of very much are cut short."""


@router.get("/", response_class=HTMLResponse)
async def console(view: View, *, still: bool = False) -> HTMLResponse:
    """Show how everything is, and again every ten seconds unless it shall stand still."""
    status = await status_of(view)
    turn = el("a", "Refresh", href="/") if still else el("a", "Stand still", href="/?still=1")
    nav = el("nav", el("a", "API", href="/docs"), el("a", "Metrics", href="/metrics"), turn)
    header = el("header", el("h1", f"Crossband \u00b7 {status.name}"), nav)
    try:
        rows = await shapes(view, for_s=_COUNT_FOR_S)
        tables = [_backlog(rows, view.clock.now_ms()), await _dead_letters(view), await _outages(view)]
    except JournalError as error:
        tables = [el("p", f"The journal can't be read: {error}", class_="state down")]
    pace = "Not refreshed by itself." if still else f"Refreshed every {REFRESH_S} seconds."
    footer = el("footer", el("p", f"Version {status.version}. {pace}"))
    main = el("main", _summary(status), *_approvals(view), _bridges(status), *tables, _routes(view))
    text = page(f"Crossband {status.name}", header, main, footer)
    # Whoever reads slowly, or has it read out, can stop it: WCAG 2.2.1.
    return HTMLResponse(text, headers={} if still else {"Refresh": str(REFRESH_S)})


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


def _approvals(view: GatewayView) -> list[Html]:
    """Who waits for an answer, with what gives it: this page changes nothing."""
    found = view.asking()
    if not found:
        return []
    rows: list[list[Child]] = [
        [
            el("code", one.sender),
            "" if one.since_ms is None else f"{in_words((view.clock.now_ms() - one.since_ms) / 1000)} ago",
            el("code", f"crossband approve {one.sender}"),
            el("code", f"crossband refuse {one.sender}"),
        ]
        for one in found[:_MOST_ASKING]
    ]
    if more := len(found) - len(rows):
        rows.append([f"{more} more", "", "crossband approvals", ""])
    return [table("Waiting for approval", ["Who asks for the radio", "Since", "Yes", "No"], rows, empty="")]


def _bridges(status: StatusOut) -> Html:
    rows: list[list[Child]] = [
        [
            one.name,
            one.kind,
            el("span", one.state, class_=f"state {one.state}"),
            in_words((status.now_ms - one.since_ms) / 1000),
            one.reason
            or (one.sending and one.sending.words)
            or (one.airtime and one.airtime.words)
            or ", ".join(f"{key} {value}" for key, value in one.describe.items()),
        ]
        for one in status.bridges
    ]
    heads = ["Bridge", "Kind", "State", "For", "Details"]
    return table("Bridges", heads, rows, empty="No bridge is configured.")


def _routes(view: GatewayView) -> Html:
    now_ms = view.clock.now_ms()
    routes = view.routes()
    rows: list[list[Child]] = [
        [
            one.name,
            ", ".join(map(str, one.sources)),
            _targets(one),
            one.by or "the file",
            "" if one.at_ms is None else f"{in_words((now_ms - one.at_ms) / 1000)} ago",
        ]
        for one in routes[:_MOST_ROUTES]
    ]
    if more := len(routes) - len(rows):
        rows.append([f"{more} more", "crossband routes", "", "", ""])
    heads = ["Route", "From", "To", "Made by", "Made"]
    return table("Routes", heads, rows, empty="There is no route.")


def _targets(route: Route) -> str:
    if route.sources != route.targets:
        return ", ".join(map(str, route.targets))
    return "both ways" if len(route.ends) > 1 else "other boxes"


def _backlog(rows: tuple[Shape, ...], now_ms: int) -> Html:
    waiting: list[list[Child]] = [
        [
            row.backlog.destination,
            row.backlog.waiting,
            *(count or "" for count in row.ages),
            row.younger or "",
            "" if row.backlog.oldest_ms is None else in_words((now_ms - row.backlog.oldest_ms) / 1000),
        ]
        for row in rows
        if row.backlog.waiting
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
        for letter in (await view.journal.overview.letters(DeadLetters(), limit=_MOST_LETTERS)).letters
    ]
    heads = ["Id", "To", "From", "Text", "Reason", "Failed"]
    return table("Dead letters", heads, rows, empty="None. What fails for good is kept here to be sent again.")


async def _outages(view: GatewayView) -> Html:
    now_ms = view.clock.now_ms()
    rows: list[list[Child]] = [
        [
            one.name or one.kind.value,
            el("span", "over" if one.ended_ms else "away", class_=f"state {'up' if one.ended_ms else 'down'}"),
            f"{in_words((now_ms - one.began_ms) / 1000)} ago",
            "" if one.lasted_s is None else in_words(one.lasted_s),
            one.reason,
            *(count or "" for count in (one.became.buffered, *astuple(one.became))),
        ]
        for one in await listed(view, limit=_MOST_OUTAGES, for_s=_COUNT_FOR_S)
    ]
    became = [each.name.capitalize() for each in fields(Became)]
    heads = ["What", "State", "Began", "Lasted", "Reason", "Buffered", *became]
    return table("Outages", heads, rows, empty="Nothing has been away.")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST_WORDS else f"{line[: _MOST_WORDS - 1]}\u2026"
