# SPDX-License-Identifier: GPL-3.0-or-later
"""Minds changed at every moment, links that come and go, crashes: the far end ends up as the senders left it."""

import asyncio
import random
import sqlite3
from collections import defaultdict
from contextlib import AsyncExitStack, closing

import pytest

from gateway.link import LinkState
from gateway.model import Edit, LinkDown, Receipt, Redaction, RemoteId, Support, Unconfirmed
from gateway.outbox.memory import MemoryOutbox
from tests.contract.delivery_desk import TABLE, ScriptedBridge, running_core
from tests.contract.test_folding import FOLDING, HOUR_MS

STEPS = 150


class FarEnd(ScriptedBridge):
    """A room: shows each key once, follows edits and redactions, and loses calls and answers now and then."""

    def __init__(self, chance):
        super().__init__(edits=Support.NATIVE, redactions=Support.NATIVE, in_flight=3)
        self.room = {}
        self._chance = chance
        self._lost = set()

    async def send(self, message, to, *, key):
        await asyncio.sleep(self._chance.random() / 200)
        if self._chance.random() < 0.05:
            raise LinkDown("gone")
        content, name = message.content, RemoteId(f"event-{key}")
        match content:
            case Edit():
                self.room[content.target] = content.body
            case Redaction():
                self.room[content.target] = None
            case _:
                self.room.setdefault(name, content.body)
        if self._chance.random() < 0.1 and key not in self._lost:
            self._lost.add(key)
            raise Unconfirmed("the answer was lost")
        return Receipt(remote_id=name)

    @property
    def shown(self):
        return [text for text in self.room.values() if text is not None]


class Storm:
    """Says, edits, takes back and breaks things at random, and remembers what should be seen in the end."""

    def __init__(self, folder, seed, table=TABLE):
        self.chance = random.Random(seed)
        self.bridge = FarEnd(random.Random(seed + 1))
        self.said = {}
        self._folder = folder
        self._table = table
        self._outbox = MemoryOutbox()
        self._memory = self._outbox.snapshot()
        self._count = 0
        self._stack = AsyncExitStack()

    async def start(self):
        core = running_core(self._folder, self.bridge, outbox=self._outbox, table=self._table)
        self.core = await self._stack.enter_async_context(core)
        self.core.sender.pause = lambda: None

    async def stop(self):
        await self._stack.aclose()

    async def step(self):
        kind = self.chance.choices(["say", "edit", "redact", "link", "crash", "wait"], [40, 25, 12, 10, 4, 9])[0]
        await getattr(self, kind)()

    async def say(self):
        self._count += 1
        self.said[self._count] = f"text {self._count}"
        age_ms = 0 if self._table is TABLE else self.chance.choice([0, HOUR_MS, HOUR_MS])
        await self.core.say(self._count, received_ms=self.core.clock.now_ms() - age_ms)

    async def edit(self):
        if left := [n for n in list(self.said)[-6:] if self.said[n] is not None]:
            number = self.chance.choice(left)
            self._count += 1
            self.said[number] = f"text {number} as of {self._count}"
            await self.core.edit(self._count, number, self.said[number])

    async def redact(self):
        if left := [n for n in list(self.said)[-6:] if self.said[n] is not None]:
            number = self.chance.choice(left)
            self._count += 1
            self.said[number] = None
            await self.core.redact(self._count, number)

    async def link(self):
        state = self.chance.choice([LinkState.UP, LinkState.DOWN])
        self.core.link.set(state, "", 0)
        await self.core.sender.due_now()

    async def crash(self):
        """Die, and find the queue as it is, as it was a while ago, or empty."""
        await self.stop()
        match self.chance.randrange(3):
            case 0:
                self._outbox.restore(self._memory)
            case 1:
                self._outbox.restore()
        self._memory = self._outbox.snapshot()
        await self.start()

    async def wait(self):
        await asyncio.sleep(self.chance.random() / 20)

    async def calm(self):
        """Let everything go out; a last text says that it did."""
        self.core.link.set(LinkState.UP, "", 0)
        await self.say()
        record = await self.core.journal.messages(latest=True, limit=1)
        async with asyncio.timeout(30):
            while await self.core.state(record[0].deliveries[0].id) != "sent":
                await self.core.sender.due_now()
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("seed", range(6))
async def test_through_a_storm_the_far_end_shows_what_the_senders_left_in_order_and_once(tmp_path, seed):
    print(f"seed {seed}")
    storm = Storm(tmp_path, seed)
    await storm.start()
    for _ in range(STEPS):
        await storm.step()
    await storm.calm()
    await storm.stop()

    assert storm.bridge.shown == [text for text in storm.said.values() if text is not None]


@pytest.mark.parametrize("seed", range(6))
async def test_through_a_storm_each_message_is_told_once_alone_or_in_a_digest_that_counts_it(tmp_path, seed):
    print(f"seed {seed}")
    storm = Storm(tmp_path, seed, FOLDING)
    await storm.start()
    for _ in range(STEPS):
        await storm.step()
    await storm.calm()
    await storm.stop()

    alone, digests, told = _told(tmp_path / "journal.db", storm.bridge.room)
    assert digests
    assert all(int(text.split()[0]) == len(numbers) for text, numbers in digests)
    assert sorted(told) == sorted(set(told))
    assert alone.items() <= {n: text for n, text in storm.said.items() if text is not None}.items()
    assert {n for n, text in storm.said.items() if text is not None} <= set(told)


def _told(path, room):
    """Return what was shown alone, and each digest shown with the messages it stands for; and all of them."""
    with closing(sqlite3.connect(path)) as database:
        numbers = dict(database.execute(_NUMBERS))
        members = defaultdict(list)
        for ident, carrier in database.execute(_MEMBERS):
            members[carrier].append(numbers[ident])
    shown = {name.removeprefix("event-").partition(".")[0]: text for name, text in room.items() if text is not None}
    alone = {numbers[ident]: text for ident, text in shown.items() if ident not in members}
    digests = [(text, members[ident]) for ident, text in shown.items() if ident in members]
    return alone, digests, [*alone, *(number for _, some in digests for number in some)]


_NUMBERS = """SELECT d.id, CAST(substr(json_extract(m.envelope, '$[1]'), 5) AS INTEGER)
    FROM delivery d JOIN message m ON m.seq = d.no >> 12"""
_MEMBERS = """SELECT d.id, c.id FROM delivery d JOIN delivery c ON c.no = d.digest
    WHERE d.digest > 0 AND NOT EXISTS (SELECT 1 FROM edit WHERE seq = d.no >> 12)"""
