# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the parts of a gateway from its settings and puts them together. Nothing here does work."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog

from gateway.backoff import Policy
from gateway.config import BridgeSettings, Settings
from gateway.delivery import run_of
from gateway.desk import FrontDesk
from gateway.digest import Digests
from gateway.drain import Drain
from gateway.echoes import Echoes
from gateway.elsewhere import Bookmark, Elsewhere
from gateway.emergency import Triage
from gateway.filed import note_retention
from gateway.folding import Folding
from gateway.intake import Intake
from gateway.journal import Journal
from gateway.kinds import is_direct, routing_table
from gateway.link import Link
from gateway.model import (
    Address,
    Bridge,
    BridgeContext,
    BridgeKind,
    BridgeName,
    Clock,
    Community,
    Delivery,
    DeliveryId,
    Directory,
    Overheard,
    Resumable,
)
from gateway.outbox.outbox import Outbox
from gateway.planning import Planner
from gateway.reckoning import Reckoning
from gateway.reflections import Reflections
from gateway.registry import Registry
from gateway.rerouting import Rerouting
from gateway.routing import RoutingTable
from gateway.rulings import Rulings
from gateway.sender import Sender
from gateway.serving import Serving
from gateway.speaking import Speaking
from gateway.supervisor import Supervisor
from gateway.tally import Tally
from gateway.turn import Turn, owner_of
from gateway.withdrawing import Withdrawing

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One bridge with everything that works for it."""

    settings: BridgeSettings
    bridge: Bridge
    link: Link
    supervisor: Supervisor
    drain: Drain
    sender: Sender
    elsewhere: Elsewhere | None
    """Where other boxes use the queue too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A gateway, put together and not yet running."""

    planner: Planner
    intake: Intake
    by_bridge: Mapping[BridgeName, Part]
    reflections: Reflections
    kinds: Mapping[BridgeName, BridgeKind]
    rulings: Rulings
    rerouting: Rerouting
    desk: FrontDesk
    """To be opened when there is a gateway to ask."""
    serving: Serving
    withdrawing: Withdrawing


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """What parts are built from."""

    settings: Settings
    registry: Registry
    journal: Journal
    outbox: Outbox
    clock: Clock
    random: random.Random
    tally: Tally
    shared: bool = False
    """Whether other boxes use the queue too."""

    async def build(self) -> Parts:
        """Build every configured bridge and what works for it. Opens nothing but private directories."""
        kinds = {name: self.registry.kind(bridge.kind) for name, bridge in self.settings.bridges.items()}
        parts: dict[BridgeName, Part] = {}
        rulings = Rulings(self.settings.permissions, self.journal.decisions, self.clock)
        await rulings.load()
        await note_retention(self.settings, self.journal.decisions, self.clock)
        configured = routing_table(self.settings, kinds)
        rerouting = Rerouting(configured, kinds, self.journal.decisions, self.clock, rulings.level_of)
        await rerouting.load()
        desk = FrontDesk(rulings, rerouting, count=self.tally.skip)
        reckoning = Reckoning()
        voices: list[Speaking] = []
        bridges = {
            name: await self._bridge(
                name,
                kind,
                rerouting=rerouting,
                rulings=rulings,
                desk=desk,
                reckoning=reckoning,
                appeared=partial(appeared, parts, name),
                overheard=partial(_overheard, voices, name),
                known_as=partial(known_as, parts, name),
            )
            for name, kind in kinds.items()
        }
        planner = Planner(
            table=rerouting.table,
            capabilities={name: bridge.capabilities for name, bridge in bridges.items()},
            level_of=rulings.level_of,
            muted=rulings.muted,
            silenced=rulings.silenced,
            is_direct=partial(is_direct, kinds),
        )
        reckoning.begin(planner, bridges)
        rulings.community = next((one for one in bridges.values() if isinstance(one, Community)), None)
        drains: list[Drain] = []

        def hand_over(seq: int, deliveries: Sequence[Delivery]) -> None:
            for drain in drains:
                drain.hand_over(seq, deliveries)

        triage = Triage(self.settings.emergency, count=self.tally.skip)
        digests = Digests(name=self.settings.gateway.name, capabilities=planner.capabilities, local=local_time)
        intake = Intake(
            self.journal,
            planner,
            self.outbox,
            self.tally,
            hand_over=hand_over,
            changing=lambda touches: changing(parts, touches),
            works=lambda bridge: bridge in parts and parts[bridge].sender.holds,
            rewrite=lambda: digests.rewrite(self.clock.now_ms()),
            shared=self.shared,
            triage=triage,
            count=self.tally.skip,
            clock=self.clock,
        )
        await doubt_what_was_cut_off(self.journal, bridges.values())
        parts |= {name: self._part(bridge, intake, planner, digests) for name, bridge in bridges.items()}
        speaking = Speaking(bridges, self.clock, count=self.tally.skip)
        voices.append(speaking)
        echoes = Echoes(speaking, self.journal, self.clock, count=self.tally.skip)
        intake.recognise, intake.arrived, intake.is_said = echoes.recognise, speaking.arrived, speaking.is_said
        intake.planned = speaking.planned
        for part in parts.values():
            part.sender.formerly = rerouting.formerly
            part.sender.speaking = speaking
        drains += [part.drain for part in parts.values()]
        reflections = Reflections(
            self.journal,
            self.clock,
            rerouting.table,
            is_direct=planner.is_direct,
            count=self.tally.skip,
            held=partial(held, parts),
        )
        reflections.follow(bridges, {name: part.link for name, part in parts.items()})

        def apply(table: RoutingTable) -> None:
            planner.table = table
            reflections.reroute(table)

        rerouting.begin(bridges, apply)
        if reflections.are_wanted:
            self.tally.followers = (reflections,)
        if self.shared:
            for part in parts.values():
                if isinstance(part.bridge, Resumable):
                    part.sender.bookmark = Bookmark(part.bridge, self.journal, self.outbox, drains)
        return Parts(
            planner=planner,
            intake=intake,
            by_bridge=parts,
            reflections=reflections,
            kinds=kinds,
            rulings=rulings,
            rerouting=rerouting,
            desk=desk,
            serving=Serving(speaking, parts, rerouting, self.clock),
            withdrawing=Withdrawing(speaking, self.journal, bridges, self.clock, count=self.tally.skip),
        )

    async def _bridge(
        self,
        name: BridgeName,
        kind: BridgeKind,
        *,
        rerouting: Rerouting,
        rulings: Rulings,
        desk: FrontDesk,
        reckoning: Reckoning,
        appeared: Callable[[str], None],
        overheard: Callable[[str, Overheard], None],
        known_as: Callable[[], Iterable[str]],
    ) -> Bridge:
        context = BridgeContext(
            name=name,
            table=self.settings.bridges[name].table,
            state_dir=state_dir(self.settings, name),
            clock=self.clock,
            random=random.Random(self.random.getrandbits(64)),  # noqa: S311 - pauses, not secrets
            conversations=rerouting.conversations(name),
            resume=await self.journal.resume_point(name),
            level_of=rulings.level_of,
            muted=rulings.muted,
            silenced=rulings.silenced,
            slow=partial(paced, rulings, name),
            named=rulings.named,
            known_as=known_as,
            count=lambda what: self.tally.skip(name, what),
            appeared=appeared,
            overheard=overheard,
            desk=desk,
            box=self.settings.gateway.name,
            reckon=reckoning.reckon,
        )
        return kind.create(context)

    def _part(self, bridge: Bridge, intake: Intake, planner: Planner, digests: Digests) -> Part:
        link = Link(self.clock.now_ms())
        owner = owner_of(self.settings.gateway.name, self.journal.source)
        turn = Turn(bridge, self.journal, self.outbox, self.clock, owner=owner, shared=self.shared)
        sender = Sender(
            bridge=bridge,
            link=link,
            journal=self.journal,
            outbox=self.outbox,
            clock=self.clock,
            owner=owner,
            observer=self.tally,
            random=self.random,
            policy=Policy(),
            is_direct=planner.is_direct,
            shared=self.shared,
        )
        sender.holding.taken_by_another = turn.lost
        if planner.table.folds(bridge.name) and self.shared:
            reason = "other gateways may share this queue, and would not know a digest's words"
            log.warning("digests_off", bridge=bridge.name, reason=reason)
        elif planner.table.folds(bridge.name):
            sender.folding = Folding(
                bridge.name,
                journal=self.journal,
                outbox=self.outbox,
                clock=self.clock,
                lookup=sender.lookup,
                digests=digests,
                # Routes made in chats have none, so that what the start found stays true.
                digest_after_s=planner.table.digest_after_s,
                changed=lambda change: self.tally.changed(bridge.name, change),
                may_be_late=lambda origin: origin.bridge in planner.table.between,
            )
        drain = Drain(
            bridge.name,
            self.journal,
            self.outbox,
            self.clock,
            ready=sender.wake,
            fresh=sender.fresh,
            urgent=sender.hurry,
            was_cut_off=self.journal.was_cut_off and not self.shared,
        )
        sender.claims.lost_entries = lambda: drain.read_back(all_of_it=True)
        sender.lookup.read_back = drain.read_back
        supervisor = Supervisor(
            bridge=bridge,
            link=link,
            intake=intake,
            clock=self.clock,
            random=self.random,
            report=sender.reports.take,
            came_up=sender.due_now,
            changed=lambda changed: self.tally.link(bridge.name, changed),
            turn=turn,
        )
        return Part(
            settings=self.settings.bridges[bridge.name],
            bridge=bridge,
            link=link,
            supervisor=supervisor,
            drain=drain,
            sender=sender,
            elsewhere=self._elsewhere(bridge.name) if self.shared else None,
        )

    def _elsewhere(self, name: BridgeName) -> Elsewhere:
        return Elsewhere(name, self.journal, self.outbox, self.clock, changed=self.tally.changed)


def appeared(parts: Mapping[BridgeName, Part], name: BridgeName, conversation: str) -> None:
    """Let what waits for a conversation of this bridge be tried: it is there now."""
    if name in parts:
        parts[name].sender.appeared(conversation)


def paced(rulings: Rulings, name: BridgeName, conversation: str) -> int | None:
    """Return in how long each says one line in a conversation of this bridge, as was decided; None: nothing was."""
    found = rulings.slow_of(Address(name, conversation))
    return None if found is None else found.every_s


def known_as(parts: Mapping[BridgeName, Part], name: BridgeName) -> Iterator[str]:
    """Yield what those are called whom the other bridges know."""
    for other, part in parts.items():
        if other != name and isinstance(part.bridge, Directory):
            for node in part.bridge.nodes():
                yield from filter(None, (node.name, node.short_name))


def held(parts: Mapping[BridgeName, Part], name: BridgeName) -> str:
    """Return why a bridge lets nothing out just now; empty while it does, or it isn't configured any more."""
    return parts[name].sender.held if name in parts else ""


async def doubt_what_was_cut_off(journal: Journal, bridges: Iterable[Bridge]) -> None:
    """After a crash: what may have been in a sender's hands then is no longer ours alone to change or fold."""
    if journal.was_cut_off:
        for bridge in bridges:
            await journal.revisions.doubt(bridge.name, run_of(bridge))


@contextmanager
def changing(parts: Mapping[BridgeName, Part], touches: Mapping[BridgeName, Sequence[DeliveryId]]) -> Iterator[None]:
    """Change deliveries in the journal meanwhile: none is sent while this lasts, nor without a look after it."""
    with ExitStack() as stack:
        for bridge, ids in touches.items():
            if part := parts.get(bridge):
                stack.enter_context(part.sender.lookup.changing(ids))
        yield


def local_time(at_ms: int) -> datetime:
    """Return milliseconds since the epoch as this box's clock on the wall shows them."""
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).astimezone()


def _overheard(voices: Sequence[Speaking], bridge: BridgeName, conversation: str, said: Overheard) -> None:
    for speaking in voices:
        speaking.overheard(Address(bridge, conversation), said)


def state_dir(settings: Settings, name: BridgeName) -> Path:
    """Return a bridge's private directory; made if it isn't there."""
    path = settings.gateway.data_dir / "bridges" / name
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path
