# SPDX-License-Identifier: GPL-3.0-or-later
"""How the gateway is: status, bridges, routes."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter

from gateway.api.deps import View, known_route
from gateway.api.gateway import GatewayView
from gateway.api.records import airtime_out
from gateway.api.schemas import BridgeOut, PartOut, RouteOut, SendingOut, StatusOut, StoreOut, TestIn
from gateway.breaker import Look
from gateway.model import BridgeName, JournalError, State, Topic
from gateway.outlook import Outlook
from gateway.routing import Route
from gateway.status import BridgeStatus
from gateway.version import version

router = APIRouter(prefix="/api/v1", tags=["status"])


@router.get("/status")
async def status(view: View) -> StatusOut:
    """Return the gateway at a glance. It answers whatever is down."""
    return await status_of(view)


@router.get("/bridges")
async def bridges(view: View) -> list[BridgeOut]:
    """Return every bridge: is it up, since when, and why not."""
    now_ms = view.clock.now_ms()
    outlooks = await _outlooks(view)
    return [_bridge(one, now_ms, outlooks.get(one.name)) for one in view.bridges()]


@router.get("/routes")
async def routes(view: View) -> list[RouteOut]:
    """Return every route: the configuration's, then those made in chats, with who made them and when."""
    return [_route(route) for route in view.routes()]


@router.post("/routes/{name}/test")
async def test_route(name: str, asked: TestIn, view: View) -> list[PartOut]:
    """Return what each address would be sent, and send nothing."""
    known_route(view, name)
    parts = await view.dry_run(asked.text, name, asked.topic)
    return [
        PartOut(
            to=str(one.to),
            part=one.part,
            parts=one.parts,
            body=one.body,
            size_bytes=len(one.body.encode()),
            note=one.note,
        )
        for one in parts
    ]


async def status_of(view: GatewayView) -> StatusOut:
    """Gather the status; what needs a journal that can't be read is empty."""
    journal, queue = view.journal_state(), view.queue_state()
    try:
        tally = await view.journal.tally()
    except JournalError:
        tally = {}
    outlooks = await _outlooks(view)
    return StatusOut(
        name=view.settings.gateway.name,
        version=version(),
        now_ms=view.clock.now_ms(),
        started_ms=view.started_ms,
        ready=journal.state.is_usable,
        journal=StoreOut(state=journal.state.value, reason=journal.reason),
        queue=StoreOut(state=queue.state.value, reason=queue.reason, engine=queue.engine),
        bridges=[_bridge(one, view.clock.now_ms(), outlooks.get(one.name)) for one in view.bridges()],
        deliveries=_by_destination(tally),
        chat_permissions=view.rulings.made_in_chats,
        muted=len(view.rulings.mutes()),
    )


async def _outlooks(view: GatewayView) -> Mapping[BridgeName, Outlook]:
    try:
        return await view.outlooks()
    except JournalError:
        return {}


def _by_destination(tally: Mapping[tuple[BridgeName, State], int]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (bridge, state), count in tally.items():
        found.setdefault(bridge, {})[state.value] = count
    return found


def _bridge(one: BridgeStatus, now_ms: int, outlook: Outlook | None) -> BridgeOut:
    return BridgeOut(
        name=one.name,
        kind=one.kind,
        state=one.state.value,
        reason=one.reason,
        since_ms=one.since_ms,
        describe=dict(one.describe),
        counters=dict(one.counters),
        sending=None if one.sending is None else _sending(one.sending, one.held_back, now_ms),
        airtime=airtime_out(one, outlook),
    )


def _sending(look: Look, held_back: int, now_ms: int) -> SendingOut:
    return SendingOut(
        state=look.state.value,
        reason=look.reason,
        since_ms=now_ms - round(look.for_s * 1000),
        next_try_ms=None if look.probe_in_s is None else now_ms + round(look.probe_in_s * 1000),
        held_back=held_back,
        words=look.words,
    )


def _route(route: Route) -> RouteOut:
    return RouteOut(
        name=route.name,
        sources=[str(address) for address in route.sources],
        targets=[str(address) for address in route.targets],
        expires_s={str(bridge): limit for bridge, limit in route.expires_s.items()},
        digest_after_s={str(bridge): limit for bridge, limit in route.digest_after_s.items()},
        also=[topic.value for topic in Topic if topic in route.also],
        direct=route.direct,
        by=route.by,
        at_ms=route.at_ms,
    )
