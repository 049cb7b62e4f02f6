# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes on real sockets with real TLS: whatever happens, those that can reach each other end with the same, once."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridges.lan.event import box_id
from bridges.lan.log import Log
from bridges.lan.membership import root_of
from bridges.lan.shared import SharedLog
from bridges.lan.store import Store
from bridges.lan.tls import Contexts
from gateway.model import LinkDown
from tests.lan_boxes import Cable, LanBox, community, until


def equal(*boxes: LanBox) -> bool:
    first = boxes[0].mesh.state
    return all((box.mesh.state.have, box.mesh.state.believe) == (first.have, first.believe) for box in boxes)


async def test_what_a_box_says_reaches_one_it_cannot_reach_over_one_between(tmp_path: Path) -> None:
    async with community(tmp_path, "a", "b", "c") as (a, b, c):
        a.reaches = c.reaches = {b.address}
        a.mesh.learn(b.address)
        c.mesh.learn(b.address)
        said = await a.say(5)
        await until(lambda: equal(a, b, c))
        assert await c.heard() == said
        assert c.mesh.live().keys() == {box.mesh.box for box in (a, b, c)}


async def test_what_a_box_serves_is_known_two_boxes_away_and_so_is_that_it_no_longer_does(tmp_path: Path) -> None:
    async with community(tmp_path, "a", "b", "c") as (a, b, c):
        a.reaches = c.reaches = {b.address}
        a.mesh.learn(b.address)
        c.mesh.learn(b.address)
        await until(lambda: len(c.mesh.live()) == 3)
        a.mesh.serve(frozenset({"mx:!town:example.org"}))
        await until(lambda: c.mesh.live()[a.mesh.box] == {"mx:!town:example.org"})
        a.mesh.serve(frozenset())
        await until(lambda: not c.mesh.live()[a.mesh.box])


async def test_a_cut_that_nobody_is_told_of_heals_with_nothing_lost_and_nothing_twice(tmp_path: Path) -> None:
    async with community(tmp_path, "a", "b", "c") as (a, b, c), Cable(b.address) as cable:
        a.reaches, b.reaches, c.reaches = {b.address}, {a.address}, {cable.address}
        a.mesh.learn(b.address)
        c.mesh.learn(cable.address)
        await until(lambda: equal(a, b, c))
        cable.cut()
        for box in (a, b, c):
            await box.say(20, f"{box.name}-apart")
            await box.mesh.append("mt:a1b2c301:00000007", "{}")
        cable.join()
        await until(lambda: equal(a, b, c))
        for box in (a, b, c):
            heard = await box.heard()
            assert len(heard) == len(set(heard)) == 61
            for name in ("a", "b", "c"):
                mine = [native for native in heard if native.startswith(f"web:{name}-apart/")]
                assert mine == [f"web:{name}-apart/{number}" for number in range(20)]


async def test_a_backlog_of_five_thousand_comes_through_whole_and_in_order(tmp_path: Path) -> None:
    async with community(tmp_path, "a", "b", "c") as (a, b, c):
        said = [f"web:old/{number}" for number in range(5000)]
        earlier = Log(Store(":memory:"), a.key, root_of(a.key.public_key(), "a"), start=5)
        for number, native in enumerate(said):
            earlier.append(native, "{}", 1_790_000_000_000 + number)
        await a.mesh._held.write(lambda log: log.take(earlier.delta({}, limit=10_000), 1_790_000_000_000))
        b.reaches, c.reaches = {a.address}, {b.address}
        b.mesh.learn(a.address)
        c.mesh.learn(b.address)
        await until(lambda: equal(a, b, c))
        assert await c.heard() == said
        assert not any(kind for box in (a, b, c) for kind in box.counts), [box.counts for box in (a, b, c)]


async def test_a_box_that_was_off_in_the_middle_has_it_all_after_its_start(tmp_path: Path) -> None:
    async with community(tmp_path, "a", "b", "c") as (a, b, c):
        b.peers = [a.address, c.address]
        await b.stop()
        said = await a.say(10) + await c.say(10)
        await b.start()
        await until(lambda: equal(a, b, c))
        assert sorted(await b.heard()) == sorted(said) == sorted(await c.heard())


async def test_two_clones_of_a_box_both_get_through(tmp_path: Path) -> None:
    async with community(tmp_path, "a", "b") as (a, b):
        await b.say(3, "before")
        a.peers = [b.address]
        b.mesh.learn(a.address)
        await until(lambda: equal(a, b))
        await b.stop()
        clone = LanBox("clone", tmp_path / "clone", 77)
        shutil.copytree(b.folder, clone.folder, dirs_exist_ok=True)
        b.peers = clone.peers = [a.address]
        await b.start()
        await clone.start()
        b.mesh.learn(clone.address)
        clone.mesh.learn(b.address)
        try:
            said = await b.say(3, "one") + await clone.say(3, "two")
            await until(lambda: equal(a, b, clone))
            assert set(said) <= set(await a.heard())
            await until(lambda: [[p.address for p in each.mesh.places] for each in (b, clone)] == [[a.address]] * 2)
            for each in (b, clone):  # nothing goes from one to the other but over third boxes
                assert each.mesh.exchange.peers.keys() == {a.mesh.box}
        finally:
            await clone.stop()


async def test_a_damaged_log_is_put_aside_and_filled_again_by_the_others(tmp_path: Path) -> None:
    async with community(tmp_path, "a", "b") as (a, b):
        b.peers = [a.address]
        a_said = await a.say(5)
        b.mesh.learn(a.address)
        b_said = await b.say(5)
        await until(lambda: equal(a, b))
        await b.stop()
        (b.folder / "log.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 8000)
        await b.start()
        assert b.counts["log_damaged"] == 1
        assert (b.folder / "log.db.damaged.1").exists()
        await until(lambda: equal(a, b))
        assert sorted(await b.heard()) == sorted(a_said + b_said)
        more = await b.say(1, "after")
        await until(lambda: equal(a, b))
        assert (await a.heard())[-1:] == more


async def test_a_box_that_was_put_out_is_turned_away_and_heard_no_more(tmp_path: Path) -> None:
    async with community(tmp_path, "a", "b", "c") as (a, b, c):
        for box in (b, c):
            box.mesh.learn(a.address)
        await until(lambda: equal(a, b, c))
        await a.mesh.community.remove(b.mesh.box)
        await until(lambda: b.mesh.box not in c.mesh.live() and b.mesh.box not in a.mesh.live())
        await b.say(1)
        await until(lambda: any(place.reason for place in b.mesh.places))
        assert await a.heard() == []
        assert [member.name for member in c.mesh.community.members] == ["a", "c"]


async def test_a_stranger_gets_no_word_in(tmp_path: Path) -> None:
    async with community(tmp_path, "a") as (a,):
        stranger = Contexts(Ed25519PrivateKey.generate())
        stranger.accept([a.key.public_key()])
        with_own_key = await asyncio.open_connection("127.0.0.1", a.mesh.port, ssl=stranger.client)
        with_own_key[1].write(b"POST /sync HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
        with suppress(OSError):
            assert await with_own_key[0].read() == b""
        with_own_key[1].transport.abort()
        assert a.mesh.exchange.peers == {}


async def post(box: LanBox, as_key: Ed25519PrivateKey, body: bytes) -> int:
    """Send a body as another box would; return the status."""
    contexts = Contexts(as_key)
    contexts.accept([box.key.public_key()])
    reader, writer = await asyncio.open_connection("127.0.0.1", box.mesh.port, ssl=contexts.client)
    head = f"POST /sync HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    answer = await reader.readline()
    writer.transport.abort()
    return int(answer.split()[1])


async def test_a_member_that_misbehaves_is_shut_out_for_a_while_and_that_is_counted(tmp_path: Path) -> None:
    async with community(tmp_path, "a", "b") as (a, b):
        await b.stop()
        assert await post(a, b.key, b"x" * 2_000_000) == 413
        for _ in range(3):
            assert await post(a, b.key, b"[") == 400
        assert await post(a, b.key, b"[") == 429
        assert a.counts == {"request_oversized": 1, "request_malformed": 3, "peer_shut_out": 1}
        assert a.mesh.exchange.peers[box_id(b.key.public_key())].counts["shut_out"] == 1
        await b.start()
        b.mesh.learn(a.address)
        await until(lambda: any("left alone" in place.reason for place in b.mesh.places))


async def test_boxes_that_know_one_of_them_learn_of_each_other(tmp_path: Path) -> None:
    async with community(tmp_path, "a", "b", "c") as (a, b, c):
        a.mesh.learn(b.address)
        c.mesh.learn(b.address)
        await until(lambda: any(p.is_up and p.box == c.mesh.box for p in a.mesh.places))
        await b.stop()
        said = await c.say(2)
        await until(lambda: equal(a, c))
        assert await a.heard() == said


async def test_a_new_box_begins_where_the_others_do_and_what_it_lacks_is_known(tmp_path: Path) -> None:
    async with community(tmp_path, "a", "b") as (a, b):
        await a.say(5, "old")
        await a.mesh._held.write(lambda log: log.retain(2**52))
        said = await a.say(3, "new")
        b.mesh.learn(a.address)
        await until(lambda: equal(a, b))
        assert await b.heard() == said
        assert b.mesh.exchange.lost[a.mesh.box] == 6  # and the statement, which is kept elsewhere


async def test_equal_boxes_say_little(tmp_path: Path) -> None:
    async with community(tmp_path, "a", "b") as (a, b), Cable(b.address) as cable:
        a.reaches, b.reaches = {cable.address}, set()
        a.mesh.learn(cable.address)
        await a.say(3)
        await until(lambda: equal(a, b))
        peer = a.mesh.exchange.peer(b.mesh.box)
        await until(lambda: peer.is_equal(a.mesh.state) and not a.mesh.exchange.is_due(peer))
        (place,) = a.mesh.places
        before = cable.carried
        await a.mesh._links.meet(place)
        assert 0 < cable.carried - before < 2000  # and that every 4 s: half a kB/s


async def test_a_disk_that_refuses_is_said_in_words_and_what_came_meanwhile_comes_again(tmp_path: Path) -> None:
    async with community(tmp_path, "a", "b") as (a, b):
        await b.mesh._held.read(lambda log: log._store._db.execute("PRAGMA query_only = ON"))
        a.mesh.learn(b.address)
        said = await a.say(2)
        await until(lambda: any("503" in place.reason for place in a.mesh.places))
        with pytest.raises(LinkDown, match="can't be written: attempt to write a readonly database"):
            await b.mesh.append("web:b/1", "{}")
        await b.mesh._held.read(lambda log: log._store._db.execute("PRAGMA query_only = OFF"))
        await until(lambda: equal(a, b))
        assert await b.heard() == said
        assert b.counts["log_unwritable"] > 0


async def test_an_interface_that_is_not_there_yet_is_said_and_stops_nothing(tmp_path: Path) -> None:
    box = LanBox("a", tmp_path / "a", 1)
    box.sync, box.discover, box.interfaces = "0.0.0.0:0", True, ("wlan7",)
    await box.start()
    try:
        assert box.mesh.discovery is not None
        assert box.mesh.discovery.reason == "mDNS: no address on wlan7 yet"
    finally:
        await box.stop()


async def test_what_another_box_logged_too_or_was_dropped_is_no_news_to_wait_for(tmp_path: Path) -> None:
    async with community(tmp_path, "a", "b") as (a, b):
        for box in (a, b):
            assert await box.mesh.append("mt:a1b2c301:00000007", "{}")
        (heard,) = [each for each in await b.mesh.news(0) if each.event.native]
        b.mesh.learn(a.address)
        await until(lambda: equal(a, b))
        assert await b.mesh.last_arrival() > heard.arrival
        known = max(each.arrival for each in await b.mesh.news(0))
        waiting = [asyncio.create_task(b.mesh.wait(known))]
        await b.mesh._held.write(lambda log: log.retain(2**52))
        waiting.append(asyncio.create_task(b.mesh.wait(0)))
        done, _ = await asyncio.wait(waiting, timeout=0.2)
        assert not done
        assert await a.mesh.append("web:a/1", "{}")
        await asyncio.wait_for(asyncio.gather(*waiting), 20)


async def test_whoever_waits_for_news_is_woken_by_what_another_box_says(tmp_path: Path) -> None:
    async with community(tmp_path, "a", "b") as (a, b):
        shared: SharedLog = b.mesh
        b.mesh.learn(a.address)
        await until(lambda: equal(a, b) and a.mesh.box in shared.present())
        after = await shared.last_arrival()
        waiting = asyncio.create_task(shared.wait(after))
        assert await a.mesh.append("web:a/1", "{}")
        await asyncio.wait_for(waiting, 20)
        assert [each.event.native for each in await shared.news(after)] == ["web:a/1"]
        assert not await shared.append("web:a/1", "{}")
