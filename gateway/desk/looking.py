# SPDX-License-Identifier: GPL-3.0-or-later
"""What is: the gateway at a glance, where somebody is, what waits, which routes this conversation has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.ages import AGE_NAMES, in_words
from gateway.backlog import MOST_CONVERSATIONS, Shape, backlogs, shapes
from gateway.desk.visit import Visit
from gateway.desk.words import ago, answer
from gateway.model import Address, BridgeName, Declined, Joined, JournalError, State
from gateway.outlook import Outlook
from gateway.outlook import in_words as airtime_in_words
from gateway.status import BridgeStatus, Keeps, StoreState, keeps_of
from gateway.version import version
from gateway.wording import gateway_line, rulings_line, store_line

COUNT_FOR_S = 0.5
"""How long one look at what waits may take, for each destination."""


async def status(visit: Visit) -> str:
    """Say how the gateway is; it answers whatever is down."""
    running = visit.running
    journal, queue = running.journal_state(), running.queue_state()
    running_s = (visit.now_ms - running.started_ms) / 1000
    waiting, outlooks, bridges = await _waiting(visit), await _outlooks(visit), running.bridges()
    return answer(
        [
            gateway_line(running.settings.gateway.name, version(), running_s=running_s),
            store_line("journal", journal.state.value, reason=journal.reason),
            store_line("queue", queue.state.value, engine=queue.engine, reason=queue.reason),
            *(_bridge(one, waiting.get(one.name, ""), visit.now_ms) for one in bridges),
            *(
                f"{one.name}: {airtime_in_words(one.schedule, outlooks.get(one.name))}"
                for one in bridges
                if one.schedule
            ),
            *_rulings(visit),
            *_routes(visit),
        ]
    )


async def brief(visit: Visit) -> str:
    """Say in one line how the gateway is, for where each byte is dear: no reasons, and of the stores what is amiss."""
    running = visit.running
    stores = {"journal": running.journal_state().state, "queue": running.queue_state().state}
    facts = [
        ", ".join(f"{one.name} {one.state.value}" for one in running.bridges()),
        *(f"{name} {state.value}" for name, state in stores.items() if state is not StoreState.UP),
        await _waiting_in_all(visit),
    ]
    return answer([f"{running.settings.gateway.name}: {'; '.join(filter(None, facts))}"])


async def _waiting_in_all(visit: Visit) -> str:
    try:
        rows = await backlogs(visit.running, await visit.running.journal.tally())
    except JournalError:
        return ""
    return f"{sum(one.waiting for one in rows):,} waiting"


async def _waiting(visit: Visit) -> Mapping[BridgeName, str]:
    try:
        rows = await backlogs(visit.running, await visit.running.journal.tally())
    except JournalError:
        return {}
    return {one.destination: _depth(one.waiting, one.dead) for one in rows}


async def _outlooks(visit: Visit) -> Mapping[BridgeName, Outlook]:
    try:
        return await visit.running.outlooks()
    except JournalError:
        return {}


def _depth(waiting: int, dead: int) -> str:
    return f"{waiting:,} waiting" + (f", {dead:,} dead letters" if dead else "")


def _bridge(one: BridgeStatus, waiting: str, now_ms: int) -> str:
    state = f"{one.name} ({one.kind}): {one.state.value} for {in_words((now_ms - one.since_ms) / 1000)}"
    why = one.reason or ("" if one.sending is None else one.sending.words)
    return "; ".join(part for part in (state, why, waiting) if part)


def _rulings(visit: Visit) -> Iterator[str]:
    yield from rulings_line(visit.rulings.made_in_chats, len(visit.rulings.mutes()))


def _routes(visit: Visit) -> Iterator[str]:
    found = visit.joining.joined(visit.asked.at)
    if not found:
        yield f"no route has {visit.asked.at}"
    for one in found:
        yield f"shared with {_others(one, visit.asked.at)} by the route {one.route}"


def _others(one: Joined, here: Address) -> str:
    return ", ".join(f"{end}{_exposed(end, one)}" for end in one.ends if end != here) or "nothing else"


def _exposed(end: Address, one: Joined) -> str:
    return " (in clear, for everyone in range)" if end in one.exposed_to else ""


async def routes(visit: Visit) -> str:
    """Say which conversations share their messages with this one, and whose doing that is."""
    found = visit.joining.joined(visit.asked.at)
    if not found:
        return f"no route has {visit.asked.at}"
    return answer([f"{one.route}: {_others(one, visit.asked.at)}; {_by(one, visit.now_ms)}" for one in found])


def _by(one: Joined, now_ms: int) -> str:
    if one.by is None:
        return "by the configuration"
    return f"by {one.by}" + ("" if one.at_ms is None else f", {ago(one.at_ms, now_ms)}")


async def position(visit: Visit) -> str:
    """Ask somebody where they are, by default whoever this chat is with: where people are isn't told to a room."""
    people = {end for one in visit.joining.joined(visit.asked.at) if one.direct for end in one.ends}
    people.discard(visit.asked.at)
    if not visit.rest and len(people) != 1:
        raise Declined("say whose: position NODE, as nodes shows them")
    there = visit.joining.resolve(" ".join(visit.rest)) if visit.rest else next(iter(people))
    if not visit.asked.private and there not in people:
        raise Declined("where somebody is is told in private: ask there, or in a direct chat with them")
    return answer([await visit.positions.of(there, visit.running)])


async def queue(visit: Visit) -> str:
    """Say how much waits and how old it is: for each destination, or for what is named."""
    name = " ".join(visit.rest)
    rows = await shapes(visit.running, by_conversation=True, for_s=COUNT_FOR_S)
    keeps = keeps_of(visit.running.bridges(), visit.running.queue_state())
    whole = {str(one.backlog.destination): one for one in rows}
    if name and name not in whole:
        return answer([_of(whole, keeps, _named(visit, name))])
    chosen = [one for one in rows if name in {"", one.backlog.destination}]
    if visit.sees_all:
        lines = [line for one in chosen for line in _destination(one, keeps, visit.now_ms, in_full=bool(name))]
        return answer(lines or ["no bridge is configured"])
    ends = sorted((end for end in visit.here if name in {"", end.bridge}), key=str)
    return answer([_of(whole, keeps, end) for end in ends] or [f"no route of this conversation goes to {name}"])


def _named(visit: Visit, name: str) -> Address:
    address = visit.joining.resolve(name)
    if not visit.sees(address):
        raise Declined(f"{address} is on no route of this conversation; ask in private")
    return address


def _destination(one: Shape, keeps: Keeps, now_ms: int, *, in_full: bool) -> Iterator[str]:
    backlog = one.backlog
    oldest = "" if backlog.oldest_ms is None else f", the oldest for {in_words((now_ms - backlog.oldest_ms) / 1000)}"
    why = _why(keeps, backlog.destination, backlog.waiting)
    yield f"{backlog.destination}: {_depth(backlog.waiting, backlog.dead)}{oldest}{why}"
    if in_full:
        for conversation in one.conversations:
            yield _conversation(one, Address(backlog.destination, conversation))


def _why(keeps: Keeps, bridge: BridgeName, waiting: int) -> str:
    why = keeps(bridge, State.WAITING) if waiting else ""
    return f"; {why}" if why else ""


def _of(whole: Mapping[str, Shape], keeps: Keeps, address: Address) -> str:
    shape = whole.get(address.bridge)
    if shape is None:
        return f"{address}: there is no bridge {address.bridge}"
    waiting = sum(shape.conversations.get(address.conversation, ()))
    return _conversation(shape, address) + _why(keeps, address.bridge, waiting)


def _conversation(shape: Shape, address: Address) -> str:
    ages = shape.conversations.get(address.conversation, ())
    is_sure = not shape.younger and (bool(ages) or len(shape.conversations) < MOST_CONVERSATIONS)
    oldest = [name for name, count in zip(AGE_NAMES, ages, strict=False) if count][-1:]
    return "".join(
        [
            f"{address}: {'' if is_sure else 'at least '}{sum(ages):,} waiting",
            *(f", the oldest {name}" for name in oldest),
        ]
    )
