# SPDX-License-Identifier: GPL-3.0-or-later
"""A core without a network: real journal, in-memory queue, a bridge that does as it is told."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

from gateway.assembly import changing, doubt_what_was_cut_off
from gateway.backoff import Policy
from gateway.delivery import deliver
from gateway.digest import Digests
from gateway.drain import Drain
from gateway.emergency import EmergencyRules, Triage
from gateway.folding import Folding
from gateway.intake import Intake
from gateway.journal import Journal, Retention
from gateway.link import Link, LinkState
from gateway.model import (
    Address,
    BridgeName,
    Capabilities,
    Edit,
    Level,
    Message,
    NativeId,
    Receipt,
    Redaction,
    RemoteId,
    Sender,
    SenderId,
    Support,
    Text,
)
from gateway.operations import Operations
from gateway.outbox.memory import MemoryOutbox
from gateway.planning import Planner
from gateway.routing import Route, RoutingTable
from gateway.sender import Sender as Deliverer
from tests.steady_time import SteadyClock

ROOM = Address(BridgeName("home"), "#town")
CHANNEL = Address(BridgeName("radio"), "LongFast")
CHAT = Address(BridgeName("radio"), "!a1b2c301")
HILL = Address(BridgeName("radio"), "Hill")
TABLE = RoutingTable(
    routes=(
        Route(name="town", sources=(ROOM, CHANNEL), targets=(ROOM, CHANNEL)),
        Route(name="chat", sources=(Address(BridgeName("home"), "#chat"),), targets=(CHAT,)),
        Route(name="hill", sources=(Address(BridgeName("home"), "#hill"),), targets=(HILL,)),
    ),
    in_clear=frozenset({CHANNEL.bridge}),
)


class ScriptedBridge:
    """Answers each send with the next of `answers` (an error or a receipt), then with plain receipts."""

    def __init__(self, *, more_within_s=None, **capabilities):
        self.name = CHANNEL.bridge
        carries = {
            "names": Support.NATIVE,
            "replies": Support.NATIVE,
            "max_parts": 4,
            "room_for": lambda *_: 40,
            "reconnect_within_s": 0.1,
        }
        self.capabilities = Capabilities(**(carries | capabilities))
        self.more_within_s = more_within_s
        self.answers = []
        self.sent = []
        self.messages = []
        self.held = None

    async def send(self, message, to, *, key):
        if self.held is not None:
            await self.held.wait()
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        self.sent.append((key, getattr(message.content, "body", message.content.kind)))
        self.messages.append(message)
        return answer or Receipt(remote_id=RemoteId(f"radio-{key}"), more_within_s=self.more_within_s)

    @property
    def keys(self):
        return [key for key, _ in self.sent]

    @property
    def texts(self):
        return [text for _, text in self.sent]


class Watcher:
    """Wakes whoever waits for a change."""

    def __init__(self):
        self.changes = []
        self.followers = ()

    def accepted(self, message, plan):
        for follower in self.followers:
            follower.accepted(message, plan)

    def changed(self, bridge, change):
        self.changes.append(change)
        for follower in self.followers:
            follower.changed(bridge, change)

    def sent(self, bridge, seconds):
        return None


NO_RULES = EmergencyRules()
POLICY = Policy(first_s=0.05, longest_s=0.2, attempts=3, there_again_s=0.1, probed_again_s=0.2)


class Core:
    def __init__(self, journal, outbox, bridge, clock, *, rules, policy, table, shared=False):
        self.journal, self.outbox, self.bridge = journal, outbox, bridge
        self.clock = clock
        self.watcher = Watcher()
        self.counted = []
        self.link = Link(0)
        self.link.set(LinkState.UP, "", 0)
        capabilities = {bridge.name: bridge.capabilities, ROOM.bridge: bridge.capabilities}
        self.planner = Planner(
            table=table,
            capabilities=capabilities,
            level_of=lambda _: Level.ADMIN,
            is_direct=lambda address: address.conversation.startswith("!"),
        )
        self.sender = Deliverer(
            bridge=bridge,
            link=self.link,
            journal=journal,
            outbox=outbox,
            clock=clock,
            owner="box",
            observer=self.watcher,
            random=random.Random(1),
            policy=policy,
            is_direct=self.planner.is_direct,
        )
        self.drain = Drain(
            bridge.name,
            journal,
            outbox,
            clock,
            ready=self.sender.wake,
            fresh=self.sender.fresh,
            urgent=self.sender.hurry,
            was_cut_off=journal.was_cut_off and not shared,
        )
        self.sender.claims.lost_entries = lambda: self.drain.read_back(all_of_it=True)
        self.sender.lookup.read_back = self.drain.read_back
        self.digests = Digests(
            name="hilltop", capabilities=capabilities, local=lambda ms: datetime.fromtimestamp(ms / 1000, UTC)
        )
        self.sender.folding = Folding(
            CHANNEL.bridge,
            journal=journal,
            outbox=outbox,
            clock=clock,
            lookup=self.sender.lookup,
            digests=self.digests,
            digest_after_s=table.digest_after_s,
            changed=lambda change: self.watcher.changed(CHANNEL.bridge, change),
            may_be_late=lambda origin: origin.bridge in table.between,
        )
        self.parts = {CHANNEL.bridge: SimpleNamespace(bridge=bridge, drain=self.drain, sender=self.sender)}
        self.intake = Intake(
            journal,
            self.planner,
            outbox,
            self.watcher,
            hand_over=self.drain.hand_over,
            changing=lambda touches: changing(self.parts, touches),
            works=lambda bridge: self.parts[bridge].sender.holds,
            rewrite=lambda: self.digests.rewrite(clock.now_ms()),
            triage=Triage(rules, count=lambda _, kind: self.counted.append(kind)),
            clock=clock,
            shared=shared,
        )
        self.operations = Operations(
            settings=None,
            parts=SimpleNamespace(planner=self.planner, intake=self.intake, by_bridge=self.parts),
            journal=journal,
            outbox=outbox,
            clock=clock,
            events=None,
            tally=self.watcher,
            metrics=None,
            health=None,
        )

    async def say(self, number, *, body=None, **fields):
        """Accept a message; return the ids of its deliveries to the radio."""
        return await self.accept(number, Text(body=body or f"text {number}"), **fields)

    async def edit(self, number, target, body, **fields):
        """Accept new words for message `target`; return the ids of the edit's own deliveries."""
        return await self.accept(number, Edit(target=RemoteId(f"${target}"), body=body), **fields)

    async def redact(self, number, target, **fields):
        """Take message `target` back; return the ids of the redaction's own deliveries."""
        return await self.accept(number, Redaction(target=RemoteId(f"${target}")), **fields)

    async def accept(self, number, content, *, origin=ROOM, sender="ali", received_ms=None, **fields):
        """Accept anything; return the ids of its deliveries."""
        message = Message(
            native_id=NativeId(f"mx:${number}"),
            origin=origin,
            sender=Sender(id=SenderId(f"@{sender}:example.org"), name=sender.title()),
            content=content,
            received_ms=received_ms or self.clock.now_ms(),
            remote_id=RemoteId(f"${number}"),
            **fields,
        )
        await self.intake.accept(message)
        record = await self.journal.message(message.id)
        return [delivery.id for delivery in record.deliveries]

    async def state(self, ident):
        return (await self.journal.standings([ident]))[ident].state.value

    async def history(self, ident):
        return [(change.state.value, change.reason) for change in (await self.journal.delivery(ident)).record.history]

    async def until(self, ident, *states, timeout_s=8.0):
        """Wait until a delivery is in one of these states."""
        async with asyncio.timeout(timeout_s):
            while (now := await self.state(ident)) not in states:
                await asyncio.sleep(0.01)
        return now


@asynccontextmanager
async def running_core(
    folder,
    bridge=None,
    *,
    outbox=None,
    retention=None,
    clock=None,
    rules=NO_RULES,
    policy=POLICY,
    table=TABLE,
    shared=False,
):
    """A core whose drain and delivery run. `shared`: its intake knows that other boxes use the queue."""
    clock = clock or SteadyClock()
    async with Journal(folder / "journal.db", clock=clock, retention=retention or Retention()) as journal:
        await doubt_what_was_cut_off(journal, [bridge := bridge or ScriptedBridge()])
        core = Core(
            journal,
            outbox or MemoryOutbox(),
            bridge,
            clock,
            rules=rules,
            policy=policy,
            table=table,
            shared=shared,
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(core.drain.run()), group.create_task(deliver(core.sender))]
            try:
                yield core
            finally:
                for task in tasks:
                    task.cancel()
