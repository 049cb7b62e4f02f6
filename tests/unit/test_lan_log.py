# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever happens between boxes, those that can reach each other end with the same log, and say each thing once."""

from __future__ import annotations

import itertools
import random
import sqlite3
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridges.lan.event import FeedId, box_id, from_wire, to_wire
from bridges.lan.log import Log, Taken
from bridges.lan.membership import Add, Remove, root_of
from bridges.lan.statements import MOST_LIMITS
from bridges.lan.store import Store

NOW = 1_790_000_000_000


def key_of(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number + 1]) * 32)


def raw(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


class Box:
    """A box as far as its log goes."""

    def __init__(self, number: int, root: Ed25519PrivateKey, chance: random.Random) -> None:
        self.number = number
        self.key = key_of(number)
        self.id = box_id(self.key.public_key())
        self.root = root_of(root.public_key(), "first")
        self.chance = chance
        self.store = Store(":memory:")
        self.said = 0
        self.start()

    def start(self) -> None:
        self.log = Log(self.store, self.key, self.root, start=self.chance.getrandbits(64))

    def say(self, native: str = "") -> str:
        self.said += 1
        native = native or f"web:{self.number}/{self.said}"
        self.log.append(native, "{}", NOW + self.said)
        return native

    def lose_tail(self, keep: int) -> None:
        """As a power cut, or an image that was restored, does; then it starts again."""
        feeds = self.store.feeds()
        own = {name: feed for name, feed in feeds.items() if name.startswith(self.id)}
        with self.store.writing():
            for name, feed in own.items():
                count = min(feed.count, max(feed.base, keep))
                last = self.store.event(name, count)
                self.store.drop_above(name, count)
                head = last.hash if last else bytes(16) if count == 0 else b""
                self.store.keep_feeds({name: replace(feed, count=count, head=head)})
        self.start()

    def pull(self, other: Box, limit: int = 500) -> Taken:
        if self.log.statements_digest != other.log.statements_digest:
            self.log.take_statements(from_wire(to_wire(event)) for event in other.log.statements())
        offered = [from_wire(to_wire(event)) for event in other.log.delta(self.log.frontier(), limit=limit)]
        return self.log.take(offered, NOW)

    @property
    def heard(self) -> list[str]:
        return [each.event.native for each in self.log.news(0, 100_000) if each.event.native]


def community(count: int, seed: int | str = 0) -> list[Box]:
    chance = random.Random(seed)
    boxes = [Box(number, key_of(0), chance) for number in range(count)]
    for box in boxes[1:]:
        boxes[0].log.state(Add(key=raw(box.key), name=f"box {box.number}"), NOW)
    for box in boxes[1:]:
        box.pull(boxes[0])
    return boxes


def meet_all(boxes: list[Box]) -> None:
    """Everybody hears of everybody, along a line of neighbours: there and back."""
    line = list(itertools.pairwise(boxes))
    for one, other in [*line, *((other, one) for one, other in reversed(line))]:
        while other.pull(one).new:
            pass


def equal(boxes: list[Box]) -> None:
    frontiers = [{name: count for name, count in box.log.frontier().items() if count} for box in boxes]
    assert all(frontier == frontiers[0] for frontier in frontiers)
    assert all(box.log.roll == boxes[0].log.roll for box in boxes)


def test_what_one_box_says_reaches_a_box_it_never_meets() -> None:
    a, b, c = community(3)
    said = [a.say() for _ in range(5)]
    b.pull(a)
    c.pull(b)
    assert c.heard == said


def test_offering_it_all_again_in_any_order_changes_nothing() -> None:
    a, b = community(2)
    for _ in range(9):
        a.say()
    offered = a.log.delta({})
    random.Random(1).shuffle(offered)
    assert len(b.log.take(offered, NOW).new) == 9
    again = b.log.take(offered, NOW)
    assert (again.new, again.skipped) == ((), {"event_known": len(offered)})


def test_the_same_packet_heard_on_both_sides_of_a_split_is_news_once_to_each() -> None:
    a, b = community(2)
    for box in (a, b):
        box.say("mt:a1b2c301:00000007")
    meet_all([a, b])
    equal([a, b])
    assert a.heard == b.heard == ["mt:a1b2c301:00000007"]
    assert a.log.append("mt:a1b2c301:00000007", "{}", NOW) is None


def test_a_box_that_lost_its_tail_makes_nobody_lose_what_it_says_next() -> None:
    a, b, c = community(3)
    before = [a.say() for _ in range(10)]
    b.pull(a)
    a.lose_tail(5)
    after = [a.say(f"web:later/{n}") for n in range(10)]
    meet_all([a, b, c])
    equal([a, b, c])
    assert sorted(c.heard) == sorted(before + after) == sorted(a.heard)


def test_two_clones_of_one_box_both_get_through() -> None:
    a, b = community(2)
    clone = Box(0, key_of(0), random.Random("clone"))
    said = [a.say("web:x/1"), clone.say("web:y/1")]
    meet_all([a, b, clone])
    assert sorted(b.heard) == said


def test_what_no_member_signed_is_skipped_and_counted() -> None:
    a, b = community(2)
    stranger = Box(7, key_of(7), random.Random(7))
    stranger.say()
    assert b.pull(stranger).skipped == {"event_alien": 1}
    a.say()
    (event,) = a.log.delta(b.log.frontier())
    assert b.log.take([replace(event, body='{"x":1}')], NOW).skipped == {"event_forged": 1}
    assert b.log.take([replace(event, seq=event.seq + 1)], NOW).skipped == {"event_gap": 1}
    assert b.log.take([event], NOW).new == (event,)


def test_a_feed_that_was_written_two_ways_goes_on_where_it_was_first_heard() -> None:
    a, b = community(2)
    twin = Log(Store(":memory:"), a.key, a.root, start=1)
    a.log = Log(a.store, a.key, a.root, start=1)
    a.log.append("web:one", "{}", NOW)
    twin.append("web:two", "{}", NOW)
    twin.append("web:three", "{}", NOW)
    b.pull(a)
    assert b.log.take(twin.delta({}), NOW).skipped == {"feed_forked": 2}
    assert b.heard == ["web:one"]


def test_a_box_that_was_let_in_and_what_it_said_may_come_together_in_any_order() -> None:
    a, b = community(2)
    late = Box(9, key_of(0), random.Random(9))
    late.key, late.id = key_of(9), box_id(key_of(9).public_key())
    late.start()
    a.log.state(Add(key=raw(late.key), name="late"), NOW)
    late.pull(a)
    said = late.say()
    offered = sorted(late.log.delta({}), key=lambda event: event.box != late.id)
    assert b.log.take(offered, NOW).skipped.get("event_alien", 0) == 0
    assert b.heard == [said]


def test_of_a_removed_box_counts_what_the_remover_had_everywhere() -> None:
    a, b, c = community(3)
    kept = [b.say() for _ in range(3)]
    a.pull(b)
    b.say("web:late")
    c.pull(b)
    assert "web:late" in c.heard
    a.log.state(Remove(box=b.id, frontier=a.log.without(b.id)), NOW)
    meet_all([a, c])
    equal([a, c])
    assert a.heard == kept
    assert c.pull(b).skipped.get("event_of_removed_box", 0) >= 1
    assert [member.box for member in c.log.roll.members] == [a.id, c.id]


def test_a_removed_box_can_remove_nobody_and_let_nobody_in() -> None:
    a, b, c = community(3)
    a.log.state(Remove(box=b.id, frontier=a.log.without(b.id)), NOW)
    b.log.state(Remove(box=a.id, frontier={}), NOW)
    b.log.state(Add(key=raw(key_of(20)), name="friend"), NOW)
    meet_all([a, c])
    c.pull(b)
    a.pull(c)
    equal([a, c])
    assert [member.box for member in a.log.roll.members] == [a.id, c.id]


def test_where_two_remove_each_other_the_senior_word_stands_whichever_came_first() -> None:
    for first in (0, 1):
        a, b, c = community(3, first)
        a.log.state(Remove(box=b.id, frontier=a.log.without(b.id)), NOW + 5)
        b.log.state(Remove(box=a.id, frontier=b.log.without(a.id)), NOW)
        for other in (a, b)[:: 1 if first else -1]:
            c.pull(other)
        assert [member.box for member in c.log.roll.members] == [a.id, c.id]


def test_what_is_too_old_goes_and_no_old_peer_brings_it_back() -> None:
    a, b = community(2)
    for _ in range(4):
        a.say()
    meet_all([a, b])
    assert a.log.retain(NOW + 1) > 0
    assert a.pull(b).new == ()
    assert a.log.bases()
    new = a.say()
    b.pull(a)
    assert b.heard[-1] == new


def test_a_new_box_begins_where_nobody_has_more() -> None:
    a, b = community(2)
    c = Box(2, key_of(0), random.Random(2))
    a.log.state(Add(key=raw(c.key), name="c"), NOW)
    for _ in range(3):
        b.say()
    meet_all([a, b])
    for box in (a, b):
        box.log.retain(NOW + 1)
    last = b.say()
    a.pull(b)
    assert c.pull(a).skipped == {"event_gap": 1}
    assert sum(c.log.skip_to(a.log.bases()).values()) == 5  # two statements of the first, three texts
    c.pull(a)
    assert c.heard == [last]
    assert c.log.frontier() == a.log.frontier()


def test_a_box_with_more_feeds_than_a_statement_holds_is_put_out_and_its_latest_feeds_count() -> None:
    a, b, c = community(3)
    for _ in range(MOST_LIMITS + 50):
        b.start()
        b.say()
    meet_all([a, b, c])
    last = a.heard[-MOST_LIMITS:]
    a.log.state(Remove(box=b.id, frontier=a.log.without(b.id)), NOW)
    assert len(a.log.statements()[-1].body) < 16 * 1024
    meet_all([a, c])
    equal([a, c])
    assert a.heard == c.heard == last
    assert [member.box for member in c.log.roll.members] == [a.id, c.id]


def test_whom_a_box_let_in_long_ago_stays_when_it_is_put_out() -> None:
    a, b = community(2)
    c = Box(2, key_of(0), random.Random(2))
    b.log.state(Add(key=raw(c.key), name="c"), NOW)
    meet_all([a, b])
    c.log.take_statements(a.log.statements())
    for box in (a, b):
        box.log.retain(NOW + 1)
    a.log.state(Remove(box=b.id, frontier=a.log.without(b.id)), NOW + 1)
    assert [member.box for member in a.log.roll.members] == [a.id, c.id]


DAY_MS = 86_400_000


def test_feeds_of_which_nothing_is_left_are_forgotten_and_no_old_peer_brings_them_back() -> None:
    a, b = community(2)
    for _ in range(30):
        a.start()
        a.say()
    meet_all([a, b])
    late = 100 * DAY_MS
    a.log.retain(NOW + DAY_MS)
    assert a.log.compact(NOW + 30 * DAY_MS) == 0
    assert a.log.compact(NOW + 30 * DAY_MS + late) == len(b.log.frontier()) - 1
    assert a.log.frontier() == {a.log.feed: 1}  # what it goes on writing into stays: else it would write 1 twice
    again = a.log.take(b.log.delta({}), NOW + 30 * DAY_MS + late)
    assert (again.new, again.skipped["event_too_old"]) == ((), 30)
    assert a.log.roll.is_member(b.id)
    b.pull(a)
    assert len(b.log.roll.members) == 2


def test_a_feed_that_goes_on_is_not_forgotten() -> None:
    a, b = community(2)
    b.say()
    a.pull(b)
    a.log.retain(NOW + DAY_MS)
    a.log.compact(NOW + DAY_MS)
    b.say()
    a.pull(b)
    a.log.compact(NOW + 200 * DAY_MS)
    assert a.log.frontier()[b.log.feed] == 2


def test_what_a_box_said_while_it_had_no_clock_is_never_too_old() -> None:
    a, b = community(2)
    b.log = Log(Store(":memory:"), b.key, b.root, start=3)
    b.log.append("web:1970", "{}", 5000)
    assert [event.native for event in a.log.take(b.log.delta({}), NOW).new] == ["web:1970"]


def test_of_too_many_the_oldest_go() -> None:
    a, b = community(2)
    said = [a.say() for _ in range(10)]
    assert a.log.retain_most(4, 1 << 30) == 7  # and the statement
    assert a.heard == said[-4:]
    assert a.log.retain_most(4, 1 << 30) == 0
    a.say()
    assert b.pull(a).skipped == {"event_gap": 5}


def test_what_was_stored_without_a_clock_is_as_old_as_the_clock() -> None:
    a, b = community(2)
    a.say()
    b.log.take_statements(a.log.statements())
    b.log.take(a.log.delta({}), 1000)  # 1970
    b.log.retain(NOW - 30)
    again = Box(1, key_of(0), random.Random(5))
    again.log.take_statements(a.log.statements())
    again.log.take(a.log.delta({}), 1000)
    again.log.date(NOW)
    assert again.log.retain(NOW - 30) == 0
    assert again.heard == a.heard
    assert again.log.retain(NOW + 1) == 2
    again.log.date(5000)  # it has no clock again: nothing gets any date by that


def test_a_box_whose_clock_is_wrong_by_more_than_a_year_takes_what_others_begin_and_is_taken() -> None:
    a, b = community(2)
    a.say()
    ahead = NOW + 400 * DAY_MS
    b.log.retain(ahead)
    b.log.compact(ahead)
    assert b.pull(a).skipped == {}
    assert b.log.take(a.log.delta(b.log.frontier()), ahead).skipped == {}
    b.log.append("web:ahead", "{}", ahead)
    a.start()
    a.say("web:behind")
    meet_all([a, b])
    assert set(a.heard) == set(b.heard) == {"web:0/1", "web:ahead", "web:behind"}


def test_what_a_removed_box_said_too_late_stays_where_another_box_heard_it_as_well() -> None:
    a, b, c = community(3)
    b.say("mt:a1b2c301:00000007")
    c.pull(b)
    a.say("mt:a1b2c301:00000007")
    c.pull(a)
    a.log.state(Remove(box=b.id, frontier={}), NOW)
    c.pull(a)
    assert c.heard == ["mt:a1b2c301:00000007"]
    assert c.log.knows("mt:a1b2c301:00000007")


def test_a_log_of_the_first_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    db = sqlite3.connect(path)
    db.executescript(
        """
        CREATE TABLE feed (
            feed TEXT PRIMARY KEY, box TEXT NOT NULL, base INTEGER NOT NULL, count INTEGER NOT NULL,
            head BLOB NOT NULL, emptied_ms INTEGER NOT NULL DEFAULT 0
        ) WITHOUT ROWID;
        CREATE TABLE event (
            arrival INTEGER PRIMARY KEY AUTOINCREMENT, feed TEXT NOT NULL, seq INTEGER NOT NULL,
            hlc INTEGER NOT NULL, previous BLOB NOT NULL, native TEXT NOT NULL, body TEXT NOT NULL,
            signature BLOB NOT NULL, stored_ms INTEGER NOT NULL, news INTEGER NOT NULL, UNIQUE (feed, seq)
        );
        CREATE INDEX by_age ON event (stored_ms);
        CREATE TABLE statement (
            feed TEXT NOT NULL, seq INTEGER NOT NULL, hlc INTEGER NOT NULL, previous BLOB NOT NULL,
            body TEXT NOT NULL, signature BLOB NOT NULL, PRIMARY KEY (feed, seq)
        ) WITHOUT ROWID;
        CREATE TABLE native (native TEXT PRIMARY KEY, arrival INTEGER NOT NULL) WITHOUT ROWID;
        CREATE INDEX native_of ON native (arrival);
        INSERT INTO feed VALUES ('00000000000000000000000000000001-0000000000000001',
            '00000000000000000000000000000001', 3, 3, x'00', 1);
        PRAGMA user_version = 1;
        """
    )
    db.close()
    store = Store(path)
    try:
        (feed,) = store.feeds().values()
        assert (feed.base, feed.count) == (3, 3)
        with store.writing():
            assert len(store.forget_empty(10, 5, but=FeedId(""))) == 1
        assert list(store.forgotten().values()) == [0]
    finally:
        store.close()
