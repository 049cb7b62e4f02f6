# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes that share a log and speak in the same conversations: what of it is said, by whom, and how often.

A model of N boxes, each with the real log, chorus and rule; the networks, and how boxes reach each other, are a model.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridges.lan.chorus import BEHIND_S, PATIENCE_S, Beginning, LanChorus
from bridges.lan.emissions import Emissions, Entry, body_of, entry_of
from bridges.lan.event import BoxId, Event, box_id
from bridges.lan.log import Log
from bridges.lan.membership import Add, root_of
from bridges.lan.store import Store
from gateway.model import Listen, NativeId, Said, Speak, Utterance, message_id

TURN_S = 25.0
LIVE_S = 30.0
MESH, ROOM = "mt:EU_868/LongFast/LongFast/8f2c0d1e", "mx:!town:example.org"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def now_ms(self) -> int:
        return round(self.now_s * 1000)

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


class Box:
    """One box with its log: what is not under test of it is here, as simply as it goes."""

    def __init__(self, world: World, nth: int) -> None:
        self.key = Ed25519PrivateKey.from_private_bytes(bytes([nth + 1]) * 32)
        self.box = box_id(self.key.public_key())
        self.world = world
        self.nth = nth
        self.serves: frozenset[str] = frozenset()
        self.radio_works = True
        self.is_up = False
        self.starts = 0
        self.heard_s: dict[BoxId, float] = {}
        self.waiting: dict[tuple[str, str], float] = {}
        """What it has to say where → since when."""
        self.over: set[tuple[str, str]] = set()
        self.start()

    def start(self) -> None:
        self.starts += 1
        self.is_up = True
        store = Store(self.world.folder / f"{self.nth}.db")
        root = self.world.boxes[0].key if self.world.boxes else self.key
        self.log = Log(store, self.key, root_of(root.public_key(), "box 0"), start=self.nth * 1000 + self.starts)
        self.store = store
        self.chorus = LanChorus(self, self.world.clock)
        self.arrival = 0
        self.begun: dict[str, Beginning] = {}
        self.follow()

    def kill(self) -> None:
        self.is_up = False
        self.store.close()

    # A Ledger.

    def named(self, box: BoxId) -> str:
        return box[:4]

    def belongs(self, box: BoxId) -> bool:
        return box not in self.world.put_out

    def serving(self) -> dict[BoxId, frozenset[str]]:
        now = self.world.clock.now_s
        return {box.box: box.serves for box in self.world.boxes if now - self.heard_s.get(box.box, -1e9) < LIVE_S}

    def absent(self) -> dict[BoxId, frozenset[str]]:
        return {box.box: box.serves for box in self.world.boxes if box is not self and box.box not in self.serving()}

    def serve(self, common_names: frozenset[str]) -> None:
        self.serves = common_names

    is_behind = False

    def beginning(self, native_id: NativeId) -> Beginning | None:
        return self.begun.get(native_id)

    async def write(self, native: str, body: str) -> None:
        self.append(native, body)

    # What the bridge does.

    def append(self, native: str, body: str) -> None:
        self.log.append(native, body, self.world.clock.now_ms())
        self.follow()
        self.world.sync()

    def follow(self) -> None:
        """Take what is new in the log."""
        while news := self.log.news(self.arrival):
            for arrived in news:
                self.arrival = arrived.arrival
                self._take(arrived.event)

    def _take(self, event: Event) -> None:
        if self.chorus.learn(event.box, event.body) or not event.body.startswith("say "):
            return
        self.begun[event.native] = Beginning(box=event.box, said_in=event.body.removeprefix("say ") or None)
        self.plan(event.native)

    def plan(self, native: str) -> None:
        for where in sorted(self.serves):
            if (native, where) not in self.over:
                self.waiting.setdefault((native, where), self.world.clock.now_s)

    async def speak(self, *, dies_after: int = 9) -> None:
        """Say what is ours to say; be killed after so many steps."""
        for (native, where), since_s in sorted(self.waiting.items()):
            said = Utterance(native_id=NativeId(native), where=where)
            answer = self.chorus.turn(said, waited_s=self.world.clock.now_s - since_s, turn_s=TURN_S)
            if isinstance(answer, Listen):
                continue
            if isinstance(answer, Speak):
                if not self.radio_works:
                    continue
                name = NativeId(f"{where[:2]}:{self.nth}:{native}")
                await self.chorus.emitting(said, name)
                if dies_after == 0:
                    return self.kill()
                self.world.put(self, native, where)
                if dies_after == 1:
                    return self.kill()
                await self.chorus.emitted(said, name)
            self.over.add((native, where))
            del self.waiting[native, where]
        return None


class World:
    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.clock = Clock()
        self.is_heard = False
        self.put_out: set[BoxId] = set()
        self.boxes: list[Box] = []
        self.side: dict[int, int] = {}
        self.said: Counter[tuple[str, str]] = Counter()
        self.splits = 0
        self.keys: set[tuple[int, str, str]] = set()
        self.by_side: Counter[tuple[str, str, tuple[int, int]]] = Counter()
        for nth in range(count):
            self.boxes.append(Box(self, nth))
            self.side[nth] = 0
        for box in self.boxes[1:]:
            self.boxes[0].log.state(Add(key=box.key.public_key().public_bytes_raw(), name=f"box {box.nth}"), 1)
        self.sync()

    def put(self, box: Box, native: str, where: str) -> None:
        """Words are there; whoever of the boxes serves it hears them, if they hear each other at all.

        The same again of the same box, which died before it could note it, has the same key: no network shows it twice.
        """
        if (box.nth, native, where) in self.keys:
            return
        self.keys.add((box.nth, native, where))
        self.said[native, where] += 1
        for other in self.boxes if self.is_heard else ():
            if other is not box and other.is_up and where in other.serves:
                other.over.add((native, where))
                other.waiting.pop((native, where), None)
        self.by_side[native, where, (self.splits, self.side[box.nth])] += 1

    def sync(self) -> None:
        """Let boxes of one side have the same."""
        for _ in self.boxes:
            for one in self.boxes:
                for other in self.boxes:
                    if one.is_up and other.is_up and one is not other and self.side[one.nth] == self.side[other.nth]:
                        other.heard_s[one.box] = self.clock.now_s
                        if one.log.frontier() != other.log.frontier():
                            other.log.take(one.log.delta(other.log.frontier()), self.clock.now_ms())
        for box in self.boxes:
            if box.is_up:
                box.follow()

    async def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            self.clock.now_s += 1
            self.sync()
            for box in self.boxes:
                if box.is_up:
                    await box.speak()


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path, 3)
    for box in world.boxes:
        box.chorus.serve(frozenset({MESH, ROOM}))
    return world


async def test_a_line_from_a_page_is_said_once_in_each_conversation_and_at_once_by_its_own_box(world: World):
    world.boxes[1].append("web:b/1", "say ")
    await world.pass_time(1)
    assert world.said == {("web:b/1", MESH): 1, ("web:b/1", ROOM): 1}
    echo = world.boxes[2].chorus.echoed(NativeId("mt:1:web:b/1"))
    assert echo == Utterance(native_id=NativeId("web:b/1"), where=MESH)
    assert world.boxes[0].chorus.called(NativeId("web:b/1")) == ["mt:1:web:b/1", "mx:1:web:b/1"]


async def test_what_two_boxes_heard_on_the_air_is_said_in_the_room_once_and_on_no_air_again(world: World):
    for box in world.boxes[:2]:
        box.append("mt:a1b2c301:7", f"say {MESH}")
    await world.pass_time(120)
    assert world.said == {("mt:a1b2c301:7", ROOM): 1}


async def test_a_box_whose_radio_hangs_is_replaced_by_the_next_after_one_turn(world: World):
    for box in world.boxes[:2]:
        box.radio_works = False
    world.boxes[0].append("web:a/1", "say ")
    await world.pass_time(TURN_S - 1)
    assert not world.said
    await world.pass_time(TURN_S + 2)
    assert world.said == {("web:a/1", MESH): 1, ("web:a/1", ROOM): 1}


async def test_a_box_that_says_its_radio_is_gone_is_not_waited_for(world: World):
    for box in world.boxes[:2]:
        box.chorus.serve(frozenset())
    world.boxes[0].append("web:a/1", "say ")
    await world.pass_time(1)
    assert world.said[("web:a/1", MESH)] == 1


async def test_a_box_that_dies_before_it_spoke_is_replaced(world: World):
    world.boxes[0].append("web:a/1", "say ")
    await world.boxes[0].speak(dies_after=0)
    await world.pass_time(3 * TURN_S)
    assert world.said[("web:a/1", MESH)] == 1


async def test_each_side_of_a_split_says_a_line_that_both_have_once_and_healing_adds_none(world: World):
    for box in world.boxes:
        box.chorus.serve(frozenset())
    world.boxes[0].append("web:a/1", "say ")
    world.side[2] = 1
    await world.pass_time(LIVE_S + 1)
    for box in world.boxes:
        box.chorus.serve(frozenset({MESH}))
        box.plan("web:a/1")
    await world.pass_time(3 * TURN_S)
    assert world.by_side == {("web:a/1", MESH, (0, 0)): 1, ("web:a/1", MESH, (0, 1)): 1}
    world.side[2] = 0
    await world.pass_time(3 * TURN_S)
    assert sum(world.said.values()) == 2
    assert not any(box.waiting for box in world.boxes)


async def test_a_line_said_while_apart_is_said_on_the_other_side_only_where_that_was_not_heard_of(world: World):
    world.side[2] = 1
    await world.pass_time(LIVE_S + 1)
    world.boxes[2].append("web:c/1", "say ")
    await world.pass_time(2)
    world.side[2] = 0
    await world.pass_time(3 * TURN_S)
    assert world.said == {("web:c/1", MESH): 1, ("web:c/1", ROOM): 1}


async def test_what_comes_while_a_split_is_told_waits_for_who_said_it_but_not_for_ever(world: World):
    a, _, c = world.boxes
    a.begun["web:c/1"] = Beginning(box=c.box, said_in=None)
    a.begun["web:a/1"] = Beginning(box=a.box, said_in=None)
    a.is_behind = True
    theirs, ours = (Utterance(native_id=NativeId(native), where=ROOM) for native in ("web:c/1", "web:a/1"))
    c.is_up = False
    await world.pass_time(LIVE_S + 1)
    assert isinstance(a.chorus.turn(theirs, waited_s=BEHIND_S - 1, turn_s=2), Listen)
    assert isinstance(a.chorus.turn(ours, waited_s=0, turn_s=2), Speak)
    assert isinstance(a.chorus.turn(theirs, waited_s=BEHIND_S + 9, turn_s=2), Speak)


async def test_what_both_sides_may_have_is_left_to_a_box_out_of_reach_as_long_as_it_is_heard_there(world: World):
    a, _, c = world.boxes
    world.side = {0: 0, 1: 1, 2: 1}
    world.boxes[1].chorus.serve(frozenset())
    await world.pass_time(LIVE_S + 1)
    texts = [f"mt:a1b2c301:{number}" for number in range(40)]
    for native in texts:
        for box in (a, c):
            box.begun[native] = Beginning(box=box.box, said_in=MESH)
    a.begun["web:a/1"] = Beginning(box=BoxId("f" * 32), said_in=None)

    def answers(box: Box, *, waited_s: float = 0.0, overheard_s: float | None = None) -> list[bool]:
        turns = (Utterance(native_id=NativeId(native), where=ROOM) for native in texts)
        asked = [box.chorus.turn(each, waited_s=waited_s, turn_s=2, overheard_s=overheard_s) for each in turns]
        return [isinstance(answer, Speak) for answer in asked]

    assert all(answers(a)), "nobody else is there"
    ours, theirs = answers(a, overheard_s=1), answers(c, overheard_s=1)
    assert 5 < sum(ours) < 35
    assert [not each for each in ours] == theirs
    assert answers(a, waited_s=30, overheard_s=1) == ours, "it speaks: it isn't silent"
    assert all(answers(a, waited_s=30, overheard_s=3))
    assert all(answers(a, waited_s=PATIENCE_S + 3, overheard_s=1)), "not for ever"
    alone = Utterance(native_id=NativeId("web:a/1"), where=ROOM)
    assert isinstance(a.chorus.turn(alone, waited_s=0, turn_s=2, overheard_s=1), Speak), "no other side can have it"


async def test_what_another_side_heard_on_the_air_and_said_in_the_room_is_not_said_there_again(world: World):
    a, _, c = world.boxes
    echo = NativeId("mt:a:1")
    line, copy = (Utterance(native_id=native, where=ROOM) for native in (NativeId("web:a/1"), echo))
    a.append("web:a/1", "say ")
    on_air = Utterance(native_id=line.native_id, where=MESH)
    await a.chorus.emitting(on_air, echo)
    await c.chorus.emitting(copy, None)
    assert not isinstance(a.chorus.turn(line, waited_s=0, turn_s=2), Said), "not yet"
    await c.chorus.emitted(copy, NativeId("mx:$1"))
    assert a.chorus.turn(line, waited_s=0, turn_s=2) == Said(by=c.box[:4], native_id=NativeId("mx:$1"))
    assert a.chorus.turn(copy, waited_s=0, turn_s=2) == Said(by=c.box[:4], native_id=NativeId("mx:$1"))


async def test_a_copy_that_waited_in_a_split_is_said_after_it_where_nobody_says_what_it_is_a_copy_of(world: World):
    a, b, c = world.boxes
    b.serves = frozenset()
    line, copy = (Utterance(native_id=NativeId(native), where=ROOM) for native in ("web:a/1", "mt:a:1"))
    a.append("web:a/1", "say ")
    await a.chorus.emitted(replace(line, where=MESH), copy.native_id)
    a.serves = frozenset({MESH})
    assert c.chorus.turn(copy, waited_s=0, turn_s=2) == Speak(), (
        "a isn't in the room, and c passes over the line itself"
    )
    a.serves = frozenset({MESH, ROOM})
    assert isinstance(c.chorus.turn(copy, waited_s=0, turn_s=2), Listen), "it is a's to say"
    await a.chorus.emitted(line, NativeId("mx:$1"))
    assert c.chorus.turn(copy, waited_s=0, turn_s=2) == Said(by=a.box[:4], native_id=NativeId("mx:$1"))
    assert a.chorus.turn(copy, waited_s=0, turn_s=2) == Said(by=a.box[:4], native_id=NativeId("mx:$1"))


async def test_a_line_of_which_another_side_heard_and_said_one_part_is_said_until_all_are(world: World):
    a, _, c = world.boxes
    line = Utterance(native_id=NativeId("web:a/1"), where=ROOM)
    a.append("web:a/1", "say ")
    for part in (1, 2):
        echo = NativeId(f"mt:a:{part}")
        assert a.chorus.turn(line, waited_s=0, turn_s=2) == Speak()
        await a.chorus.emitted(replace(line, where=MESH, part=part, parts=2), echo)
        await c.chorus.emitted(Utterance(native_id=echo, where=ROOM), NativeId(f"mx:${part}"))
    assert a.chorus.turn(line, waited_s=0, turn_s=2) == Said(by=c.box[:4], native_id=NativeId("mx:$1"))


async def test_words_are_vouched_for_by_boxes_that_belong_alone(world: World):
    a, _, c = world.boxes
    line = Utterance(native_id=NativeId("web:a/1"), where=ROOM)
    await a.chorus.emitted(line, NativeId("mx:$1"))
    assert c.chorus.vouches(NativeId("mx:$1"))
    assert not c.chorus.vouches(NativeId("mx:$2"))
    world.put_out.add(a.box)
    assert not c.chorus.vouches(NativeId("mx:$1"))
    assert c.chorus.echoed(NativeId("mx:$1")) == line


async def test_a_correction_is_for_the_box_that_said_what_it_corrects(world: World):
    first = Utterance(native_id=NativeId("web:a/1"), where=ROOM)
    await world.boxes[2].chorus.emitting(first, None)
    await world.boxes[2].chorus.emitted(first, NativeId("mx:$1"))
    for n in range(8):
        edit = Utterance(native_id=NativeId(f"web:a/edit{n}"), where=ROOM)
        answers = [
            box.chorus.turn(edit, waited_s=0, turn_s=2, amends=message_id(first.native_id)) for box in world.boxes
        ]
        assert [isinstance(answer, Speak) for answer in answers] == [False, False, True]


async def test_later_parts_are_for_the_box_that_said_the_first(world: World):
    for n in range(8):
        first = Utterance(native_id=NativeId(f"web:a/{n}"), where=MESH, parts=2)
        await world.boxes[2].chorus.emitted(first, NativeId(f"mt:3:{n}"))
        second = Utterance(native_id=first.native_id, where=MESH, part=2, parts=2)
        answers = [box.chorus.turn(second, waited_s=0, turn_s=TURN_S) for box in world.boxes]
        assert [isinstance(answer, Speak) for answer in answers] == [False, False, True]


async def test_what_another_box_split_otherwise_is_left_to_it_whole(world: World):
    said = Utterance(native_id=NativeId("web:a/1"), where=MESH, part=1, parts=2)
    await world.boxes[2].chorus.emitted(said, None)
    mine = Utterance(native_id=said.native_id, where=MESH, part=3, parts=3)
    assert isinstance(world.boxes[0].chorus.turn(mine, waited_s=1e6, turn_s=TURN_S), Said)


async def test_a_box_is_speaking_until_it_told_what_its_words_are_called(world: World):
    said = Utterance(native_id=NativeId("web:a/1"), where=ROOM)
    await world.boxes[0].chorus.emitting(said, None)
    assert [box.chorus.is_speaking(ROOM) for box in world.boxes] == [False, True, True]
    await world.boxes[0].chorus.emitted(said, NativeId("mx:$1"))
    assert not any(box.chorus.is_speaking(ROOM) for box in world.boxes)


async def test_a_box_that_starts_again_knows_what_was_said_before(world: World):
    world.boxes[1].append("web:b/1", "say ")
    await world.pass_time(1)
    world.boxes[2].kill()
    world.boxes[2].start()
    assert world.boxes[2].chorus.echoed(NativeId("mt:1:web:b/1")) is not None


@pytest.mark.parametrize("seeds", [range(6), pytest.param(range(6, 60), marks=pytest.mark.slow)], ids=str)
async def test_over_random_cuts_and_deaths_each_line_is_said_once_a_side_and_never_not_at_all(
    tmp_path: Path, seeds: range
):
    for seed in seeds:
        print("seed", seed)
        await _history(random.Random(seed), tmp_path / str(seed))


async def _history(chance: random.Random, folder: Path) -> None:
    folder.mkdir()
    world = World(folder, chance.randint(2, 5))
    world.is_heard = chance.random() < 0.5
    for box in world.boxes:
        box.chorus.serve(frozenset(chance.sample([MESH, ROOM], chance.randint(1, 2))))
    served = {name for box in world.boxes for name in box.serves}
    natives = []
    for step in range(12):
        await _mishap(chance, world)
        box = chance.choice([one for one in world.boxes if one.is_up])
        natives.append(f"web:{box.nth}/{step}")
        box.append(natives[-1], "say ")
        await world.pass_time(chance.randint(0, 60))
    _repair(world)
    await world.pass_time(len(world.boxes) * TURN_S + LIVE_S)
    for native in natives:
        assert all(1 <= world.said[native, where] <= len(world.boxes) for where in served), native
    assert {where for _, where in world.said} == served
    assert all(count == 1 for count in world.by_side.values()), world.by_side


async def _mishap(chance: random.Random, world: World) -> None:
    up = [box for box in world.boxes if box.is_up]
    match chance.randint(0, 5):
        case 0:
            world.side = {box.nth: chance.randint(0, 1) for box in world.boxes}
            world.splits += 1
        case 1:
            world.side = dict.fromkeys(world.side, 0)
            await world.pass_time(LIVE_S)
        case 2:
            chance.choice(world.boxes).radio_works ^= True
        case 3 if len(up) > 1:
            # Whether words went out, when a box dies right then, only their network can tell.
            dying = chance.choice(up)
            await dying.speak(dies_after=chance.choice([0, 1] if world.is_heard else [0]))
            if dying.is_up:
                dying.kill()
        case 4:
            _start_all(world)


def _start_all(world: World) -> None:
    for box in world.boxes:
        if not box.is_up:
            box.start()


def _repair(world: World) -> None:
    world.side = dict.fromkeys(world.side, 0)
    for box in world.boxes:
        box.radio_works = True
    _start_all(world)


def test_an_entry_that_makes_no_sense_is_none():
    good = body_of(Entry(utterance=Utterance(native_id=NativeId("a"), where="b"), is_done=True, as_native=None))
    assert entry_of(good) is not None
    for bad in (
        "",
        "[]",
        "{}",
        good.replace('"a"', "7"),
        good.replace('"part":1', '"part":0'),
        good.replace('"parts":1', '"parts":9e9'),
        good.replace('"part":1', '"part":true'),
        good.replace("emitted", "omitted"),
        good[:-1] + ',"as":""}',
        "[" * 100_000,
    ):
        assert entry_of(bad) is None, bad[:40]


def test_of_too_many_the_oldest_is_forgotten_whole():
    emissions = Emissions(most=2)
    for n in range(3):
        said = Utterance(native_id=NativeId(f"n{n}"), where=ROOM)
        emissions.learn(BoxId("a"), Entry(utterance=said, is_done=True, as_native=NativeId(f"mx:{n}")), 0.0)
    assert [emissions.echoed(NativeId(f"mx:{n}")) is None for n in range(3)] == [True, False, False]
    assert emissions.called(NativeId("n0")) == []
