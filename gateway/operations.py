# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator can ask of a running gateway and make it do; the API and the CLI speak to this."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from gateway.assembly import Part, Parts, changing
from gateway.config import Settings
from gateway.costs import Price, price
from gateway.fitting import Unfit
from gateway.health import Health
from gateway.journal import Accepted, Change, DeadLetters, Journal, Kept, Seen
from gateway.limits import in_force
from gateway.locating import where_is
from gateway.metrics import Metrics
from gateway.model import (
    API_ADDRESS,
    PENDING,
    Address,
    Adjustable,
    Asked,
    Asking,
    BridgeName,
    Clock,
    Delivery,
    DeliveryId,
    Describes,
    Directory,
    Level,
    Message,
    Moderates,
    NativeId,
    Node,
    Sender,
    SenderId,
    State,
    Text,
    Topic,
    words_of,
)
from gateway.outbox.outbox import Outbox
from gateway.outlook import Outlook, outlooks
from gateway.redrive import Redrives
from gateway.routing import Choice, Route
from gateway.rulings import OPERATOR, Rulings
from gateway.status import BridgeStatus, DryPart, EventHub, JournalStatus, QueueStatus
from gateway.tally import Tally

AGAIN = frozenset({State.FAILED, State.CANCELLED})
"""What is sent again by hand: dead letters, and the later parts that one held back."""
UNSENT = frozenset({State.WAITING, State.QUEUED})
Found = dict[BridgeName, list[tuple[DeliveryId, State]]]
"""Deliveries by destination, with the state they were found in."""


class Operations:
    """The running gateway, as its operator sees it."""

    def __init__(
        self,
        *,
        settings: Settings,
        parts: Parts,
        journal: Journal,
        outbox: Outbox,
        clock: Clock,
        events: EventHub,
        tally: Tally,
        metrics: Metrics,
        health: Health,
        outages_lost: Callable[[], int] = lambda: 0,
    ) -> None:
        """`outages_lost`: how many outages are not in the log."""
        self.settings = settings
        self.journal = journal
        self.outbox = outbox
        self.clock = clock
        self.started_ms = clock.now_ms()
        self.events = events
        self.metrics = metrics
        self._tally = tally
        self._parts = parts
        self._health = health
        self._outages_lost = outages_lost
        self.redrives = Redrives(journal, clock, self.redrive)

    # What is.

    @property
    def rulings(self) -> Rulings:
        """Who may what, and who is muted."""
        return self._parts.rulings

    def bridges(self) -> Sequence[BridgeStatus]:
        """Return every bridge with its state and why, in the order of the configuration."""
        return [self._bridge(name, part) for name, part in self._parts.by_bridge.items()]

    def _bridge(self, name: BridgeName, part: Part) -> BridgeStatus:
        described: Mapping[str, str] = part.bridge.describe() if isinstance(part.bridge, Describes) else {}
        notes = {"held": part.drain.trouble} if part.drain.trouble else {}
        choosing = part.sender.choosing
        defects = {"schedule_defect": choosing.defects} if choosing is not None and choosing.defects else {}
        return BridgeStatus(
            name=name,
            kind=part.settings.kind,
            state=part.link.state,
            reason=part.link.reason,
            since_ms=part.link.since_ms,
            describe={**described, **notes},
            counters=self._tally.skipped.get(name, {}) | defects,
            sending=part.sender.gate.breaker.look(self.clock.monotonic()),
            held_back=part.sender.gate.breaker.opened,
            schedule=None if choosing is None else choosing.look(),
            untaken=part.drain.trouble,
        )

    async def outlooks(self) -> Mapping[BridgeName, Outlook]:
        """Return how long what waits will take, of each bridge that schedules; JournalError."""
        return await outlooks({name: part.bridge for name, part in self._parts.by_bridge.items()}, self.journal)

    def queue_state(self) -> QueueStatus:
        """Return whether the queue's server can be used, and why not."""
        return self._health.queue

    def journal_state(self) -> JournalStatus:
        """Return whether messages can be accepted, and why not."""
        return self._health.journal

    def dropped(self) -> Mapping[str, int]:
        """Return how many records were dropped at a limit since the start, by kind: never messages."""
        reports = sum(part.sender.reports.dropped for part in self._parts.by_bridge.values())
        return {"report": reports, "change": self.journal.lost, "outage": self._outages_lost()}

    def routes(self) -> Sequence[Route]:
        """Return every route as it is now, with the limits in force: the configuration's, then those made in chats."""
        table = self._parts.planner.table
        return tuple(in_force(table, route) for route in table.routes)

    def nodes(self) -> Sequence[tuple[BridgeName, Node]]:
        """Return everybody the bridges know of."""
        return [
            (name, node)
            for name, part in self._parts.by_bridge.items()
            if isinstance(part.bridge, Directory)
            for node in part.bridge.nodes()
        ]

    def moderated(self) -> frozenset[BridgeName]:
        """Return the bridges whose people this box lets in itself: their rooms can be slowed."""
        return frozenset(name for name, part in self._parts.by_bridge.items() if isinstance(part.bridge, Moderates))

    def asking(self) -> Sequence[Asking]:
        """Return who asks to be heard on radio and has no answer yet."""
        bridges = (part.bridge for part in self._parts.by_bridge.values())
        return [one for bridge in bridges if isinstance(bridge, Moderates) for one in bridge.asking()]

    async def command(self, words: str, where: str) -> str:
        """Do what a command of moderation says, by the operator's word; Declined, with the reason."""
        at = Address(API_ADDRESS.bridge, where)
        return await self._parts.desk.answer(Asked(sender=OPERATOR, words=words, at=at, private=True))

    def adjustable(self, name: BridgeName) -> Adjustable | None:
        """Return a bridge whose far side has settings of its own; None if that one's has none."""
        part = self._parts.by_bridge.get(name)
        return part.bridge if part is not None and isinstance(part.bridge, Adjustable) else None

    async def where_is(self, there: Address) -> str:
        """Ask the other end of a direct chat where they are; Declined, with the reason for the asker."""
        part = self._parts.by_bridge.get(there.bridge)
        return await where_is(there, None if part is None else part.bridge)

    # What to do.

    async def submit(self, message: Message, *, only: Address | None, route: str | None) -> Accepted | Seen:
        """Accept a message for one address or for all of one route."""
        return await self._parts.intake.accept(message, choice=Choice(address=only, route=route))

    async def dry_run(self, text: str, route: str, topic: Topic = Topic.TALK) -> Sequence[DryPart]:
        """Return what every address of a route would be sent of a text on this topic; nothing is stored."""
        said = Message(
            native_id=NativeId("api:dry-run"),
            origin=API_ADDRESS,
            sender=Sender(id=SenderId(self.settings.gateway.name), name=self.settings.gateway.name),
            content=Text(body=text),
            received_ms=self.clock.now_ms(),
            topic=topic,
        )
        said = self._parts.intake.triage.preview(said, Level.ADMIN)
        plan = self._parts.planner.plan(said, choice=Choice(route=route))
        ended = [DryPart(to=delivery.to, note=reason) for delivery, _, reason in plan.ended]
        parts = [*map(_dry, plan.deliveries), *ended]
        if all(one.carries(topic) for one in self._parts.planner.table.routes if one.name == route):
            return parts
        note = f"this route carries no {topic}: its `also` does not list them"
        return [DryPart(to=to, note=note) for to in dict.fromkeys(part.to for part in parts)]

    async def redrive(self, ids: Sequence[DeliveryId]) -> tuple[DeliveryId, ...]:
        """Send dead letters again; return those that were dead. The later parts they held back go too."""
        done: list[DeliveryId] = []
        for ident in ids:
            found = await self.journal.delivery(ident)
            if found is None or found.record.state is not State.FAILED:
                continue
            again = await self._again(found)
            if not again:
                continue
            # The queue forgets it first: then the journal hands it over like anything new, under a fresh key.
            await self.outbox.drop(found.record.to.bridge, [delivery.id for delivery in again])
            if ident in await self.journal.requeue(again, only_from=AGAIN):
                done.append(ident)
            self._parts.by_bridge[found.record.to.bridge].drain.read_back()
        return tuple(done)

    async def price(self, which: DeadLetters) -> Price:
        """Reckon what sending these dead letters again would cost; nothing is sent."""
        bridges = {name: part.bridge for name, part in self._parts.by_bridge.items()}
        return await price(which, self.journal, self._fit_again, bridges)

    def _fit_again(self, message: Message, to: Address) -> Sequence[Delivery] | Unfit:
        return self._parts.planner.fitted(message, to, None)  # no expiry: someone looked at it and wants it sent

    async def _again(self, found: Kept) -> Sequence[Delivery] | None:
        """Fit a message anew: the part that failed and those after it; None if it still doesn't fit."""
        to, part = found.record.to, found.record.part
        if to.bridge not in self._parts.by_bridge:
            return None
        if found.is_digest:
            return None if found.delivery is None else [replace(found.delivery, expires_ms=None)]
        fitted = self._fit_again(found.message, to)
        if isinstance(fitted, Unfit):
            return None
        standings = await self.journal.standings([delivery.id for delivery in fitted])
        return [
            delivery
            for delivery in fitted
            if delivery.part >= part and (delivery.id not in standings or standings[delivery.id].state in AGAIN)
        ]

    async def cancel(self, ids: Sequence[DeliveryId]) -> tuple[DeliveryId, ...]:
        """Take waiting deliveries back; return those that will not be sent. One being sent can't be."""
        found = await self._in_state(ids, PENDING)
        taken: list[DeliveryId] = []
        for bridge, mine in found.items():
            taken += await self.outbox.cancel(bridge, [ident for ident, _ in mine])
        ended = await self._ended(found, taken, "cancelled by hand", only_from=PENDING)
        # What the queue has not got yet is still only in the journal: unless it went its way meanwhile.
        waiting = [ident for ident, state in self._not_in_hand(found) if state is State.WAITING and ident not in taken]
        return ended + await self._ended(found, waiting, "cancelled by hand", only_from=UNSENT)

    async def drop(self, ids: Sequence[DeliveryId]) -> tuple[DeliveryId, ...]:
        """Forget dead letters; return those that were dead."""
        found = await self._in_state(ids, frozenset({State.FAILED}))
        for bridge, mine in found.items():
            await self.outbox.drop(bridge, [ident for ident, _ in mine])
        dead = [ident for mine in found.values() for ident, _ in mine]
        return await self._ended(found, dead, "dropped by hand", only_from=frozenset({State.FAILED}))

    async def _in_state(self, ids: Sequence[DeliveryId], states: frozenset[State]) -> Found:
        found: Found = {}
        for ident, standing in (await self.journal.standings(ids)).items():
            if standing.state in states:
                found.setdefault(standing.to.bridge, []).append((ident, standing.state))
        return found

    def _not_in_hand(self, found: Found) -> Iterator[tuple[DeliveryId, State]]:
        """Yield what nobody of us has in hand now."""
        for bridge, mine in found.items():
            part = self._parts.by_bridge.get(bridge)
            on_its_way = part.sender.in_hand if part else frozenset()
            yield from (one for one in mine if one[0] not in on_its_way)

    async def _ended(
        self, found: Found, ids: Sequence[DeliveryId], reason: str, *, only_from: frozenset[State]
    ) -> tuple[DeliveryId, ...]:
        """Cancel them; return those that still were in one of these states."""
        end = partial(Change, state=State.CANCELLED, reason=reason, at_ms=self.clock.now_ms(), only_from=only_from)
        with changing(self._parts.by_bridge, dict.fromkeys(self._parts.by_bridge, ids)):
            made = await self.journal.apply([end(id=ident) for ident in ids])
        bridge_of = {ident: bridge for bridge, mine in found.items() for ident, _ in mine}
        for ident in made:
            self._tally.changed(bridge_of[ident], end(id=ident))
        return made

    async def retry(
        self, *, destination: BridgeName | None = None, ids: Sequence[DeliveryId] = ()
    ) -> tuple[BridgeName, ...]:
        """Make what backs off due at once: of one destination, of these deliveries, or all; say where."""
        wanted: set[tuple[BridgeName, str | None]]
        if ids:
            standings = await self.journal.standings(ids)
            wanted = {(standing.to.bridge, standing.to.conversation) for standing in standings.values()}
        else:
            wanted = {(name, None) for name in self._parts.by_bridge if destination in {None, name}}
        for bridge, conversation in sorted(wanted, key=str):
            await self.outbox.due_now(bridge, conversation, now_ms=self.clock.now_ms())
            if part := self._parts.by_bridge.get(bridge):
                part.sender.wake()
        return tuple(sorted({bridge for bridge, _ in wanted}))


def _dry(delivery: Delivery) -> DryPart:
    return DryPart(to=delivery.to, part=delivery.part, parts=delivery.parts, body=words_of(delivery.message.content))
