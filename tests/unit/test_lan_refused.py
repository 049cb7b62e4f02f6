# SPDX-License-Identifier: GPL-3.0-or-later
"""What a box won't take keeps from it nothing that others say."""

from __future__ import annotations

from bridges.lan import conduct
from bridges.lan.event import BoxId, feed_id
from bridges.lan.log import Log
from bridges.lan.peer import MOST_KNOWN, Peer
from bridges.lan.presence import Told
from bridges.lan.store import Store
from bridges.lan.wire import MOST_EVENTS, Offer
from tests.lan_histories import BEGAN_MS, World, checked_once, founded, run

EARLIER_MS = BEGAN_MS - 86_400_000


def write(world: World, number: int, start: int, natives: list[str], *, into: int) -> None:
    """Have one box take what another wrote, or somebody with its key."""
    twin = Log(Store(":memory:"), world.nodes[number].key, world.root, start=start)
    for native in natives:
        twin.append(native, "{}", EARLIER_MS)
    run(world.nodes[into].held.write(lambda log: log.take(twin.delta({}, limit=len(natives)), BEGAN_MS)))


def test_a_stolen_box_that_writes_a_long_feed_two_ways_parts_no_two_others() -> None:
    with checked_once():
        world = founded("starve")
        one, other = world.nodes[1:3]
        write(world, 3, 1, [f"web:one/{n}" for n in range(MOST_EVENTS + 50)], into=1)
        write(world, 3, 1, ["web:other/0"], into=2)
        world.meet(one, other)
        one.say("web:1/news")
        world.meet(one, other)
        assert "web:1/news" in other.natives()
        assert "web:other/0" in other.natives()
        before = world.posts
        one.say("web:1/more")
        world.meet(one, other)
        assert "web:1/more" in other.natives()
        assert world.posts - before < 8  # what is refused is known: it isn't told first again


def test_while_a_box_writes_faster_than_it_is_taken_others_are_heard(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(conduct, "BURST", 100)
    monkeypatch.setattr(conduct, "PER_MINUTE", 0)
    with checked_once():
        world = founded("flood")
        one, other = world.nodes[1:3]
        write(world, 3, 1, [f"web:3/{n}" for n in range(3 * MOST_EVENTS)], into=1)
        one.say("web:1/news")
        world.meet(one, other)
        assert "web:1/news" in other.natives()


def test_a_box_that_tells_of_ever_more_boxes_fills_no_memory() -> None:
    peer = Peer(box=BoxId("a" * 32))
    for number in range(20):
        told = [Told(feed=feed_id(BoxId("b" * 32), number * 256 + n), beat=1, since=1, age_ms=0) for n in range(256)]
        peer.said(Offer(feed=feed_id(peer.box, 1), have="", believe="", told=told), float(number))
        assert len(peer.known) <= MOST_KNOWN
    assert told[-1].feed in peer.known
