# SPDX-License-Identifier: GPL-3.0-or-later
"""What a box that belongs, but was stolen, can't do to the others, nor one that was put out: in its log alone."""

from __future__ import annotations

import itertools
import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridges.lan import membership
from bridges.lan.addresses import MOST_FOUND, MOST_PLACES, Places, Source, is_literal
from bridges.lan.batch import MOST_FEEDS_OF_ONE
from bridges.lan.chronicle import MOST_ABOUT, Chronicle
from bridges.lan.discovery import Discovery, own_networks
from bridges.lan.emissions import MOST_WORDS_OF_ONE, Emissions, Entry
from bridges.lan.entries import Said
from bridges.lan.event import BEFORE_FIRST, BoxId, Event, box_id, box_of, feed_id, from_wire, to_wire, written
from bridges.lan.membership import (
    MOST_BOXES,
    MOST_STATED,
    MOST_STATEMENTS,
    Add,
    Remove,
    Statement,
    _member,
    believed,
    roll,
    root_of,
)
from bridges.lan.statements import body_of, statement_of
from bridges.lan.transcript import Heard
from gateway.model import (
    Content,
    Edit,
    NativeId,
    Reaction,
    Redaction,
    RemoteId,
    Sender,
    SenderId,
    Text,
    Utterance,
    message_id,
)
from tests.unit.test_lan_log import NOW, Box, community, equal, key_of, meet_all, raw

FAR = 2**53 - 1


def id_of(key: Ed25519PrivateKey) -> BoxId:
    return box_id(key.public_key())


def said_by(box: BoxId, seq: int, says: Add | Remove, hlc: int = NOW * 1024) -> Statement:
    return Statement(feed=feed_id(box, 1), seq=seq, hlc=hlc + seq, says=says)


def forged(box: Box, seq: int, *, start: int = 7, hlc: int = NOW * 1024, body: str = "{}", native: str = "") -> Event:
    """What a box with this key can sign, whatever its own log says."""
    return written(
        box.key, feed=feed_id(box.id, start), seq=seq, hlc=hlc, previous=BEFORE_FIRST, native=native, body=body
    )


def chained(box: Box, bodies: list[str], *, start: int = 7, hlc: int = NOW * 1024, native: str = "") -> list[Event]:
    """A feed of a stolen box, well formed."""
    found: list[Event] = []
    for seq, body in enumerate(bodies, 1):
        event = written(
            box.key,
            feed=feed_id(box.id, start),
            seq=seq,
            hlc=hlc,
            previous=found[-1].hash if found else BEFORE_FIRST,
            native=f"{native}{seq}" if native else "",
            body=body,
        )
        found.append(event)
    return found


def some_key(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big"))


def test_a_stamp_of_the_far_future_stops_no_clock_over_a_restart() -> None:
    a, b = community(2)
    a.log.take([forged(b, 1, hlc=FAR, native="x:1")], NOW)
    a.start()
    event = a.log.append("web:a/1", "{}", NOW)
    assert event is not None
    assert from_wire(to_wire(event)).hlc < (NOW + 120_000) * 1024


def test_a_stamp_of_the_far_future_makes_no_box_without_a_clock_say_what_nobody_can_read() -> None:
    a, b = community(2)
    a.log.take([forged(b, 1, hlc=FAR, native="x:1")], 0)
    event = a.log.append("web:a/1", "{}", 0)
    assert event is not None
    from_wire(to_wire(event))


def test_a_box_that_states_very_much_can_be_put_out_all_the_same() -> None:
    a, b, c = community(3)
    nonsense = body_of(Remove(box=id_of(some_key(900)), frontier={}))
    a.log.take(chained(c, [nonsense] * (MOST_STATED + 10)), NOW)
    assert sum(event.box == c.id for event in a.log.statements()) == MOST_STATED
    a.log.state(Remove(box=c.id, frontier=a.log.without(c.id)), NOW)
    b.log.take_statements(a.log.statements())
    assert [len(box.log.roll.members) for box in (a, b)] == [2, 2]


def test_of_too_many_statements_those_of_the_senior_boxes_are_kept() -> None:
    root = root_of(some_key(1).public_key(), "first")
    boxes = [some_key(number) for number in range(2, 12)]
    nobody = Remove(box=id_of(some_key(900)), frontier={})
    adds = [
        said_by(root.box, n, Add(key=key.public_key().public_bytes_raw(), name="x")) for n, key in enumerate(boxes, 1)
    ]
    said = [said_by(id_of(key), seq, nobody) for key in boxes for seq in range(1, MOST_STATED + 1)]
    kept = believed(roll(root, [*said, *adds]), [*said, *adds])
    assert len(kept) == MOST_STATEMENTS
    assert kept[: len(adds)] == adds
    assert {box_of(each.feed) for each in kept[len(adds) :]} == {id_of(key) for key in boxes[:8]}


def test_a_long_line_of_boxes_that_let_each_other_in_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    a, c = community(2)
    keys = [c.key, *(some_key(1000 + n) for n in range(50))]
    line = [
        said_by(id_of(one), 1, Add(key=raw(other), name="x"), hlc=NOW * 1024 - number)
        for number, (one, other) in enumerate(itertools.pairwise(keys))
    ]
    looked_at: list[Statement] = []
    monkeypatch.setattr(membership, "_member", lambda *asked: looked_at.append(asked[0]) or _member(*asked))
    found = roll(root_of(a.key.public_key(), "a"), [said_by(a.id, 1, Add(key=raw(c.key), name="c")), *line])
    assert len(found.boxes) == 52
    assert len(looked_at) == 51


def test_a_box_that_lets_many_in_puts_nobody_out_of_the_roll_by_it() -> None:
    chance = random.Random(1)
    boxes = [Box(number, key_of(0), chance) for number in range(4)]
    a, c, b, d = boxes
    for n, box in enumerate(boxes[1:]):
        a.log.state(Add(key=raw(box.key), name=f"b{n}"), NOW + 10 * n)
    many = [body_of(Add(key=raw(some_key(2000 + n)), name="x")) for n in range(MOST_BOXES)]
    a.log.take(chained(c, many, hlc=(NOW + 5) * 1024), NOW)
    assert {b.id, d.id} <= {member.box for member in a.log.roll.members}
    e = key_of(60)
    a.log.state(Remove(box=c.id, frontier=a.log.without(c.id)), NOW + 100)
    a.log.state(Add(key=raw(e), name="new"), NOW + 101)
    assert a.log.roll.is_member(id_of(e))


def test_of_too_many_boxes_the_same_belong_whatever_was_heard_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "MOST_BOXES", 5)
    a, c = community(2)
    adds = [
        said_by(box, number, Add(key=raw(some_key(3000 + 10 * nth + number)), name="x"))
        for nth, box in enumerate((a.id, c.id))
        for number in range(2, 6)
    ]
    said = [said_by(a.id, 1, Add(key=raw(c.key), name="c")), *adds]
    root = root_of(a.key.public_key(), "a")
    found = set()
    for seed in range(20):
        random.Random(seed).shuffle(said)
        found.add(frozenset(roll(root, said).boxes))
    assert [len(boxes) for boxes in found] == [5]


@pytest.mark.parametrize("extra", [0, 1, 2, 3])
def test_a_box_can_not_put_out_those_who_let_it_in_even_if_they_heard_of_it_first(extra: int) -> None:
    a, b, c = community(3)
    for n in range(extra):
        a.log.state(Add(key=raw(some_key(300 + n)), name="x"), NOW)
    said = a.say()
    meet_all([a, b, c])
    c.log.state(Remove(box=a.id, frontier={}), NOW + 1)
    meet_all([a, b, c])
    a.log.state(Remove(box=c.id, frontier=a.log.without(c.id)), NOW + 2)
    meet_all([a, b])
    assert {a.id, b.id} <= {member.box for member in a.log.roll.members}
    assert not a.log.roll.is_member(c.id)
    assert said in b.heard
    equal([a, b])


def test_a_removed_box_lets_nobody_in_by_rewriting_what_it_said_before() -> None:
    a, b, c = community(3)
    for _ in range(5):
        c.say()
    meet_all([a, b, c])
    a.log.state(Remove(box=c.id, frontier=a.log.without(c.id)), NOW + 5)
    friend = body_of(Add(key=raw(some_key(77)), name="friend"))
    late = written(c.key, feed=c.log.feed, seq=3, hlc=NOW * 1024, previous=BEFORE_FIRST, native="", body=friend)
    b.log.take_statements([late])
    meet_all([a, b])
    assert [len(x.log.roll.members) for x in (a, b)] == [2, 2]
    for box in (a, b):
        box.log.retain(NOW + 10)
        box.log.take_statements([late])
    assert [len(x.log.roll.members) for x in (a, b)] == [2, 2]


def test_a_box_that_starts_very_often_keeps_nobody_elses_start_out() -> None:
    a, b, c = community(3)
    flood = [chained(c, ["{}"], start=n, native=f"x:{n}:")[0] for n in range(1, MOST_FEEDS_OF_ONE + 10)]
    assert a.log.take(flood, NOW).skipped["feeds_full"] == 9
    b.start()
    said = b.say()
    a.pull(b)
    assert said in a.heard
    a.log.state(Remove(box=c.id, frontier={}), NOW)
    assert len(a.log.frontier()) < 100


@pytest.mark.parametrize(
    "address",
    [
        "1.2.3.4:²",
        "[fe80::1%x]@evil.example]:443",
        "[fe80::1%x]@evil.example:443",
        "1.2.3.4:\N{ARABIC-INDIC DIGIT THREE}",
        "1.2.3.4: 80",
        "[1.2.3.4]]:80",
    ],
)
def test_what_a_box_tells_is_an_address_and_nothing_else(address: str) -> None:
    assert not is_literal(address)


def test_whoever_floods_a_network_with_names_fills_no_place_of_a_box_that_is_known() -> None:
    places = Places([])
    for number in range(2 * MOST_PLACES):
        places.learn(f"10.0.{number // 256}.{number % 256}:8448", Source.FOUND)
    assert len(list(places)) == MOST_FOUND
    assert places.learn("192.168.4.2:8448", Source.CALLER, id_of(some_key(1))) is not None


def test_what_one_box_says_of_speaking_fills_no_memory() -> None:
    told = Emissions()
    box = id_of(some_key(1))
    for number in range(3000):
        said = Utterance(native_id=NativeId("web:x"), where="mx:!r", part=number % 60 + 1, parts=60 + number // 60)
        told.learn(box, Entry(utterance=said, is_done=False, as_native=NativeId(f"mx:{number}")), 0.0)
    assert len(told.of(said)) == 1
    assert len(told._said[message_id(said.native_id), said.where]) == MOST_WORDS_OF_ONE


def test_a_line_with_very_much_about_it_is_read_all_the_same() -> None:
    rooms = Chronicle(":memory:")
    many = [
        heard(2 + n, Reaction(target=RemoteId("mt:a:1"), emoji="+"), f"mt:r:{n}", f"!s{n}")
        for n in range(MOST_ABOUT + 50)
    ]
    legs = [("mt:a:1", "b" * 32, f"leg {n}", "sent") for n in range(MOST_ABOUT + 50)]
    rooms.take([heard(1, Text(body="hello"), "mt:a:1"), *many], legs, "1", NOW)
    (line,) = rooms.lines("town")
    assert [mark.count for mark in line.marks] == [MOST_ABOUT]
    rooms.take([heard(9999, Redaction(target=RemoteId("mt:a:1")), "mt:a:2")], [], "2", NOW)
    assert rooms.lines("town")[0].gone
    rooms.close()


def test_whoever_said_a_line_takes_it_back_and_is_told_of_it_however_much_others_changed() -> None:
    rooms = Chronicle(":memory:")
    line = heard(1, Text(body="hello"), "mt:a:1")
    forged = [
        heard(2 + n, Edit(target=RemoteId("mt:a:1"), body="no"), f"mt:e:{n}", f"!s{n}") for n in range(MOST_ABOUT + 5)
    ]
    legs = [("mt:a:1", "b" * 32, f"leg {n}", "queued") for n in range(MOST_ABOUT + 5)]
    rooms.take([line, *forged], legs, "1", NOW)
    mine = [heard(9998, Edit(target=RemoteId("mt:a:1"), body="hello all"), "mt:a:2")]
    rooms.take(mine, [("mt:a:1", "b" * 32, "leg 0", "sent")], "2", NOW)
    (shown,) = rooms.lines("town")
    assert shown.text == "hello all"
    assert rooms.standing("mt:a:1", "b" * 32, "leg 0") == "sent"
    rooms.take([heard(9999, Redaction(target=RemoteId("mt:a:1")), "mt:a:3")], [], "3", NOW)
    assert rooms.lines("town")[0].gone
    rooms.close()


def heard(arrival: int, content: Content, native: str, sender: str = "!a1b2c301") -> Heard:
    who = Sender(id=SenderId(sender), name="Ridge")
    said = Said(native=NativeId(native), room="town", sender=who, content=content, said_ms=NOW)
    return Heard(said=said, arrival=arrival, hlc=arrival, at_ms=NOW)


async def test_what_anybody_announces_by_mdns_has_a_box_call_nobody_elsewhere() -> None:
    looking = Discovery(BoxId("a" * 32), 8448, ["lo"], lambda *_: None)
    looking._near = own_networks(["lo"])
    assert looking._is_near("127.0.0.1")
    assert not any(map(looking._is_near, ["10.0.0.1", "224.0.0.1", "0.0.0.0", "192.0.2.7", "2001:db8::1"]))
    assert not any(network.is_loopback for network in own_networks([]))


def test_who_writes_long_entries_fills_no_disk() -> None:
    a, c = community(2)
    a.log.take(chained(c, [f'"{"x" * 16_000}"'] * 100, native="x:"), NOW)
    said = a.say()
    assert a.log.retain_most(500_000, 400_000) > 70
    assert a.store.size()[1] < 500_000
    assert a.heard[-1] == said
    assert len(a.heard) > 10


def test_a_name_that_a_box_was_let_in_under_steers_no_terminal() -> None:
    says = Add(key=raw(some_key(5)), name="\x1b]0;pwned\x07\N{RIGHT-TO-LEFT OVERRIDE}evil\n")
    said = statement_of(forged(community(2)[1], 1, body=body_of(says)))
    assert said is not None
    assert isinstance(said.says, Add)
    assert said.says.name == "]0;pwned evil"
