# SPDX-License-Identifier: GPL-3.0-or-later
"""A stolen box, a guest with an old code, and strangers, at the real listener: what each can't do."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridges.lan.caller import Caller
from bridges.lan.emissions import Entry, name_of
from bridges.lan.emissions import body_of as emission
from bridges.lan.event import BEFORE_FIRST, Event, box_id, feed_id, written
from bridges.lan.ledger import MeshLedger
from bridges.lan.links import SYNC
from bridges.lan.pairing import new_code
from bridges.lan.presence import Detail, Told
from bridges.lan.server import Answer, Asked, Server
from bridges.lan.tls import Contexts
from bridges.lan.wire import Offer, body_of, read
from gateway.model import NativeId, Utterance
from tests.lan_boxes import LanBox, community, until

NOTHING = "0" * 32


class Stolen:
    """Somebody with a box's key, who says to another box what they like."""

    def __init__(self, stolen: LanBox, caller: Caller) -> None:
        self.key = stolen.key
        self.box = box_id(stolen.key.public_key())
        self.feed = feed_id(self.box, 0xBAD)
        self._caller = caller

    async def says(self, to: LanBox, **more: Any) -> Offer:
        contexts = Contexts(self.key)
        contexts.accept([to.key.public_key()])
        offer = replace(Offer(feed=self.feed, have=NOTHING, believe=NOTHING), **more)
        return read((await self._caller.post(to.address, SYNC, body_of(offer), contexts.client)).body)


@asynccontextmanager
async def stolen_one(folder: Path, *names: str) -> AsyncIterator[tuple[list[LanBox], Stolen]]:
    """A community whose last box is off, and its key in wrong hands."""
    async with community(folder, *names) as boxes, Caller() as caller:
        *others, last = boxes
        await last.stop()
        yield others, Stolen(last, caller)


async def test_a_box_that_claims_to_begin_later_makes_nobody_forget_what_another_said(tmp_path: Path) -> None:
    async with stolen_one(tmp_path, "a", "b", "m") as ((a, b), m):
        a.mesh.learn(b.address)
        said = await b.say(3)
        await until(lambda: a.mesh.state.have == b.mesh.state.have)
        feed = b.mesh.state.feed
        lie = {**a.mesh.state.frontier, feed: 1_000_001}
        for _ in range(3):
            await m.says(a, frontier=lie, bases={feed: 1_000_000})
        said += await b.say(3, "later")
        await until(lambda: b.mesh.state.have == a.mesh.state.have)
        assert await a.heard() == said


async def test_a_box_that_logs_beforehand_what_another_will_say_keeps_nobody_from_hearing_of_it(
    tmp_path: Path,
) -> None:
    async with stolen_one(tmp_path, "a", "b", "m") as ((a, b), m):
        a.mesh.learn(b.address)
        said = Utterance(native_id=NativeId("web:m/1"), where="mx:!town:example.org", part=1, parts=1)
        entry = Entry(utterance=said, is_done=False, as_native=None)
        name, body = name_of(entry, a.mesh.box), emission(entry)
        foreseen = written(m.key, feed=m.feed, seq=1, hlc=1, previous=BEFORE_FIRST, native=name, body=body)
        await m.says(a, events=[foreseen])
        ledger = MeshLedger(a.mesh, a.count)
        ledger.opened()
        for _ in range(2):
            await ledger.write(name, body)
        await until(lambda: a.mesh.state.have == b.mesh.state.have)
        assert {each.event.box for each in await b.mesh.news(0) if each.event.body == body} == {m.box, a.mesh.box}
        assert a.counts["emission_forestalled"] == 2


async def test_a_box_that_sends_much_in_anothers_name_uses_up_nothing_of_what_that_one_may_say(tmp_path: Path) -> None:
    async with stolen_one(tmp_path, "a", "b", "m") as ((a, b), m):
        b.reaches = set()
        feed = feed_id(b.mesh.box, 5)
        for turn in range(42):
            fakes = [
                Event(feed=feed, seq=2 + n, hlc=1, previous=BEFORE_FIRST, native="", body="{}", signature=bytes(64))
                for n in range(turn * 500, turn * 500 + 500)
            ]
            await m.says(a, events=fakes)
        a.mesh.learn(b.address)
        said = await b.say(100)
        await until(lambda: a.mesh.state.have == b.mesh.state.have)
        assert "event_too_fast" not in a.counts
        assert await a.heard() == said


async def test_what_a_box_says_of_itself_counts_more_than_what_another_says_of_it(tmp_path: Path) -> None:
    async with stolen_one(tmp_path, "a", "b", "m") as ((a, b), m):
        forged = Detail(name="b", serving=frozenset({"mx:!forged"}))
        lie = Told(feed=b.mesh.state.feed, beat=2**53, since=2**53, age_ms=0, detail=forged)
        a.mesh.learn(b.address)
        await until(lambda: b.mesh.box in a.mesh.live())
        await m.says(a, told=[lie])
        b.mesh.serve(frozenset({"mx:!town"}))
        await until(lambda: a.mesh.live().get(b.mesh.box) == {"mx:!town"}, 10)
        await m.says(a, told=[lie])
        assert a.mesh.live()[b.mesh.box] == {"mx:!town"}


async def test_who_has_a_code_that_is_over_or_unused_is_told_nothing_where_a_box_looks_for_others(
    tmp_path: Path,
) -> None:
    async with community(tmp_path, "a") as (a,):
        await a.say(3)
        code = new_code(a.mesh.box, [], os.urandom)
        a.mesh.community.invite(code.key.public_key().public_bytes_raw())
        async with listening(code.key, a) as (address, asked):
            a.mesh.learn(address)
            await until(lambda: any(place.failures for place in a.mesh.places) or asked)
        assert asked == []


@asynccontextmanager
async def listening(key: Ed25519PrivateKey, to: LanBox) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Somebody who listens with this key; yield where, and what they were told."""
    asked: list[bytes] = []
    contexts = Contexts(key)
    contexts.accept([to.key.public_key()])

    async def answer(what: Asked) -> Answer:
        asked.append(what.body)
        mine = Offer(feed=feed_id(box_id(key.public_key()), 1), have=NOTHING, believe=NOTHING, frontier={}, bases={})
        return Answer(body=body_of(mine))

    server = Server("127.0.0.1:0", contexts, {SYNC: answer})
    await server.open()
    try:
        yield f"127.0.0.1:{server.port}", asked
    finally:
        await server.close()
