# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes of one community in one process, and what may happen to them: everything but sockets, TLS and the disk is real.

A history is a list of acts that make sense, or do nothing, in whatever state they find the boxes: so any part of a
history is one, too, and a failing one can be made short.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bridges.lan.addresses import Place, Places, Source
from bridges.lan.answering import Answering
from bridges.lan.caller import Answered
from bridges.lan.event import BEFORE_FIRST, BoxId, Event, FeedId, box_id
from bridges.lan.exchange import Exchange
from bridges.lan.feeds import FORGOTTEN_MS
from bridges.lan.held import Held, state_of
from bridges.lan.links import Links
from bridges.lan.log import Log
from bridges.lan.membership import Add, Remove, root_of
from bridges.lan.presence import Detail, Presence
from bridges.lan.server import Asked
from bridges.lan.store import Feed, Store
from bridges.lan.tls import Contexts
from gateway.model import BridgeError, LinkDown, RateLimited, Rejected

T = TypeVar("T")

BEGAN_MS = 1_790_000_000_000
DAY_S = 86_400.0
RETENTION_S = 30 * DAY_S
BOXES = 20
FOUNDERS = 15
"""So many belong from the beginning; the others may join."""
MOST_CLONES = 3
MEETING_S = 0.1
ROUNDS = 18
"""Of meetings after a history, at most."""
PAUSE_S = 12.0
"""Between rounds: who meets again stays there for the other, and nobody waits for one that it met once, long ago."""
QUIET_ROUNDS = 6
"""Rounds that change nothing, until nothing will: longer than a box is taken to be there, and two are settled."""


class Act(NamedTuple):
    """`one` and `other` are boxes, `much` is what the act makes of it."""

    kind: str
    one: int
    other: int
    much: int

    def __str__(self) -> str:
        return f"{self.kind:9} {self.one:2} {self.other:2} {self.much:3}"


class Time:
    """Theirs; it passes with each act. `off_ms` of a box is how wrong its clock is."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def of(self, off_ms: int) -> BoxTime:
        return BoxTime(self, off_ms)


class BoxTime:
    """A `Clock`."""

    def __init__(self, time: Time, off_ms: int) -> None:
        self._time = time
        self._off_ms = off_ms

    def now_ms(self) -> int:
        return BEGAN_MS + self._off_ms + int(self._time.passed_s * 1000)

    def monotonic(self) -> float:
        return self._time.passed_s

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError(seconds)


class InlineHeld(Held):
    """A log without a thread: nothing here waits for a disk."""

    def __init__(self, log: Log) -> None:
        self._log, self._state = log, state_of(log)

    async def read(self, ask: Callable[[Log], T]) -> T:
        return ask(self._opened())

    async def write(self, change: Callable[[Log], T]) -> T:
        log = self._opened()
        try:
            return change(log)
        finally:
            self._state = state_of(log)

    async def aside(self, work: Callable[[], T]) -> T:
        return work()


class Node:
    """A machine: a box's key, its disk, and while it is on what runs on it."""

    def __init__(self, world: World, number: int, key: Ed25519PrivateKey, off_ms: int) -> None:
        self.world = world
        self.number = number
        self.key = key
        self.id = box_id(key.public_key())
        self.clock = world.time.of(off_ms)
        self.store = Store(":memory:")
        self.shown: Counter[str] = Counter()
        """How often each message was news here, since the disk was put back last."""
        self.counts: Counter[str] = Counter()
        self.image: bytes | None = None
        self.snapshot: tuple[bytes, tuple[Any, ...]] | None = None
        self.remembered_s = 0.0
        self.is_on = self.was_rewound = False
        self._read = 0

    @property
    def log(self) -> Log:
        return self.held._opened()

    @property
    def is_member(self) -> bool:
        return self.log.roll.is_member(self.id)

    def start(self, disk: bytes | None = None) -> None:
        """Begin, as after any end; with another disk if it is given."""
        if disk is not None:
            self.store._db.deserialize(disk)
            self.shown, self._read = Counter(), 0
        log = Log(self.store, self.key, self.world.root, start=self.world.chance.getrandbits(64))
        self.held = InlineHeld(log)
        self.presence = Presence(log.feed, Detail(name=str(self.number)))
        self.exchange = Exchange(
            self.held,
            self.presence,
            clock=self.clock,
            count=self.count,
            port=lambda: 0,
            start=lambda: self.world.chance.getrandbits(64),
            alone_s=0.0,
        )
        self.exchange.on_roll = self.exchange.forget
        self.answering = Answering(self.held, self.exchange, self.clock, lambda *_: None)
        self.links = Links(
            self.held, self.exchange, Places(()), contexts=NO_TLS, clock=self.clock, chance=self.world.chance
        )
        self.links._caller = Line(self)  # type: ignore[assignment]
        self.is_on = True
        self.read()

    def remember(self) -> None:
        """Take a snapshot of the machine, its memory with it."""
        presence = dict(vars(self.presence))
        self.remembered_s = self.world.time.passed_s
        what = (self.log.feed, self.exchange.peers, presence, self.shown, self._read)
        self.snapshot = (self.store._db.serialize(), copy.deepcopy(what))

    def go_back(self, snapshot: tuple[bytes, tuple[Any, ...]]) -> None:
        """Go on where a snapshot was taken: nothing starts anew."""
        disk, memory = snapshot
        self.start(disk)
        self.was_rewound = True
        feed, self.exchange.peers, presence, self.shown, self._read = copy.deepcopy(memory)
        self.log.feed = feed
        self.held._state = state_of(self.log)
        vars(self.presence).update(presence)

    def count(self, kind: str) -> None:
        self.counts[kind] += 1

    def say(self, native: str) -> None:
        if self.is_member:
            event = self.log.append(native, "{}", self.clock.now_ms())
            self.held._state = state_of(self.log)
            if event is not None:
                self.world.said.setdefault(native, self.world.time.passed_s)
                self.world.sayers.setdefault(native, set()).add(self.id)
            self.read()

    def state(self, says: Add | Remove) -> None:
        if isinstance(says, Remove):
            self.world.once_out.add(says.box)
        run(self.held.write(lambda log: log.state(says, self.clock.now_ms())))
        self.exchange.forget(self.log.roll)

    def shorten(self) -> None:
        """As the mesh does every ten minutes."""
        now_ms = self.clock.now_ms()
        for change in (
            lambda log: log.date(now_ms),
            lambda log: log.retain(int(now_ms - RETENTION_S * 1000)),
            lambda log: log.compact(now_ms),
        ):
            run(self.held.write(change))

    def lose_tail(self, keep: int) -> None:
        """As a power cut can on a card that lies about what it wrote."""
        own = {name: feed for name, feed in self.store.feeds().items() if name.startswith(self.id)}
        with self.store.writing():
            for name, feed in own.items():
                count = min(feed.count, max(feed.base, keep))
                last = self.store.event(name, count)
                self.store.drop_above(name, count)
                head = last.hash if last else BEFORE_FIRST if count == 0 else b""
                self.store.keep_feeds({name: Feed(base=feed.base, count=count, head=head)})
        self.shown = Counter()  # what was lost may come again: it is news to whoever reads the log from a new mark
        self.start()

    def read(self) -> None:
        """Note what is new here, as the rooms do."""
        while batch := self.log.news(self._read, 500):
            self.shown.update(each.event.native for each in batch if each.event.native)
            self._read = batch[-1].arrival

    def natives(self) -> set[str]:
        rows = self.store._db.execute("SELECT native FROM event WHERE native <> ''")
        return {native for (native,) in rows}


class Line:
    """What carries a box's requests: to the box whose number is the address, as far as there is a way."""

    def __init__(self, caller: Node) -> None:
        self._caller = caller

    async def post(self, address: str, path: str, body: bytes, tls: object) -> Answered:
        del path, tls
        world = self._caller.world
        called = world.nodes[int(address)]
        world.time.passed_s += MEETING_S / 4
        world.posts += 1
        if not world.is_way(self._caller, called):
            raise LinkDown("cut")
        if not called.log.roll.is_member(self._caller.id) or not self._caller.log.roll.is_member(called.id):
            raise LinkDown("the handshake fails")
        answer = await called.answering(Asked(key=self._caller.key.public_key(), host="", body=body))
        called.read()
        if not world.is_way(self._caller, called, is_back=True):
            raise LinkDown("cut on the way back")
        if answer.status == 429:
            raise RateLimited("it wants to be left alone")
        if answer.status != 200:
            raise Rejected(f"it answered {answer.status}")
        return Answered(key=called.key.public_key(), body=answer.body)


class World:
    """All of them, and which can't reach which."""

    def __init__(self, seed: int | str) -> None:
        self.chance = random.Random(seed)
        self.time = Time()
        self.said: dict[str, float] = {}
        """When each message was said first."""
        self.sayers: dict[str, set[BoxId]] = {}
        """By which boxes: what comes from the air, several say."""
        self.once_out: set[BoxId] = set()
        """Which boxes anybody ever put out, whether that counts in the end or not."""
        self.root = root_of(key_of(0).public_key(), "0")
        self.nodes = [Node(self, number, key_of(number), off_ms(number)) for number in range(BOXES)]
        self.cut: set[frozenset[int]] = set()
        self.carried = 0
        """So many more requests and answers get through before the line goes dead; below 0: all."""
        self.joined = set(range(FOUNDERS))
        self.posts = 0

    def is_way(self, one: Node, other: Node, *, is_back: bool = False) -> bool:
        del is_back
        if self.carried == 0 or not other.is_on or frozenset({one.number, other.number}) in self.cut:
            return False
        self.carried -= 1
        return True

    def meet(self, one: Node, other: Node, *, carried: int = -1) -> None:
        """Let one call the other, until both have the same, or the line goes dead."""
        if not (one.is_on and other.is_on) or one is other:
            return
        self.time.passed_s += MEETING_S
        self.carried = carried
        place = Place(address=str(other.number), source=Source.CONFIGURED, box=other.id)
        with contextlib.suppress(BridgeError):
            run(one.links.meet(place))
        one.read()
        other.read()

    def was_written_two_ways(self, native: str) -> bool:
        """Whether a box that was put out had been put back, or ran twice, with its memory, and said that.

        Under one number boxes keep the words of it that they heard, each its own. Only that box could say all of them
        again, and nobody listens to it any more; which of them its remover had, nobody else can tell.
        """
        limits = self.nodes[0].log.roll.limits
        out = {node.id for node in self.nodes if node.id in limits and node.was_rewound}
        return not out.isdisjoint(self.sayers[native])

    def has_begun(self, node: Node) -> bool:
        """Whether there is anything on its disk."""
        return node.number in self.joined or node.number >= BOXES

    def members(self) -> list[Node]:
        """Return the machines of those who belong, by what the first box knows."""
        return [node for node in self.nodes if node.is_on and self.nodes[0].log.roll.is_member(node.id)]


def founded(seed: int | str) -> World:
    """Return a community whose boxes start from disks on which they belong together."""
    world = World(seed)
    for node, disk in zip(world.nodes, disks(), strict=False):
        node.start(disk)
    return world


@functools.cache
def disks() -> list[bytes]:
    """What is on the founders' disks: signing and checking that anew would take most of a history."""
    world = World("founders")
    founders = world.nodes[:FOUNDERS]
    for node in founders:
        node.start()
    for node in founders[1:]:
        founders[0].state(Add(key=node.key.public_key().public_bytes_raw(), name=str(node.number)))
    for node in founders[1:]:
        run(node.held.write(lambda log: log.take_statements(founders[0].log.statements())))
    return [node.store._db.serialize() for node in founders]


# What may happen.


def _say(world: World, one: Node, act: Act) -> None:
    for number in range(1 + act.much % 3):
        one.say(f"web:{one.number}/{len(world.said)}-{number}")


def _same(world: World, one: Node, act: Act) -> None:
    """Several boxes hear the same on the air."""
    for node in (one, world.nodes[act.other % len(world.nodes)]):
        if node.is_on:
            node.say(f"mt:{act.much % 8}")


def _meet(world: World, one: Node, act: Act) -> None:
    other = world.nodes[act.other % len(world.nodes)]
    world.meet(one, other, carried=act.much if act.much < 6 else -1)


def _cut(world: World, one: Node, act: Act) -> None:
    """Cut one wire, or all between two halves."""
    if act.much % 4:
        world.cut.add(frozenset({one.number, act.other % len(world.nodes)}))
    else:
        halves = [[n.number for n in world.nodes if (n.number < one.number) == side] for side in (True, False)]
        world.cut |= {frozenset({a, b}) for a in halves[0] for b in halves[1]}


def _mend(world: World, one: Node, act: Act) -> None:
    if act.much % 2:
        world.cut.discard(frozenset({one.number, act.other % len(world.nodes)}))
    else:
        world.cut.clear()


def _kill(world: World, one: Node, act: Act) -> None:
    del world
    if act.much % 2:
        one.start()
    else:
        one.is_on = False


def _lose(world: World, one: Node, act: Act) -> None:
    """Lose the end, best after others heard of it, and go on talking."""
    if act.much % 2:
        _say(world, one, act)
        world.meet(one, world.nodes[act.other % len(world.nodes)])
    one.lose_tail(act.much % 6)
    _say(world, one, act)


def _image(world: World, one: Node, act: Act) -> None:
    """Take an image of the card, or put the last one back."""
    if one.image is None or act.much % 2:
        one.image = one.store._db.serialize()
    else:
        one.start(one.image)
        _say(world, one, act)


def _clone(world: World, one: Node, act: Act) -> None:
    """Put a copy of the card into another machine: it runs beside the first, and people talk at both."""
    if len(world.nodes) < BOXES + MOST_CLONES:
        clone = Node(world, len(world.nodes), one.key, off_ms(one.number))
        world.nodes.append(clone)
        clone.start(one.store._db.serialize())
        _say(world, clone, act)
        _say(world, one, act)


def _fresh_snapshot(world: World, one: Node) -> tuple[bytes, tuple[Any, ...]] | None:
    """Return a machine's snapshot if boxes keep what was said since: with what nobody has nothing can be compared."""
    is_fresh = world.time.passed_s - one.remembered_s < RETENTION_S - DAY_S
    return one.snapshot if is_fresh else None


def _rewind(world: World, one: Node, act: Act) -> None:
    """Take a snapshot of a running machine, or put it back to the last one: it goes on talking."""
    snapshot = _fresh_snapshot(world, one)
    if snapshot is None or act.much % 2:
        one.remember()
    else:
        one.go_back(snapshot)
    _say(world, one, act)


def _twin(world: World, one: Node, act: Act) -> None:
    """Start the snapshot of a running machine in a second one."""
    snapshot = _fresh_snapshot(world, one)
    if snapshot is None:
        one.remember()
    elif len(world.nodes) < BOXES + MOST_CLONES:
        twin = Node(world, len(world.nodes), one.key, off_ms(one.number))
        world.nodes.append(twin)
        twin.go_back(snapshot)
        _say(world, twin, act)
    _say(world, one, act)


def _remove(world: World, one: Node, act: Act) -> None:
    """Put a box out; the first stays, so that something is left to compare with."""
    out = world.nodes[act.other % len(world.nodes)]
    if (
        act.much % 3 == 0
        and out.id not in {one.id, world.root.box}
        and one.is_member
        and one.log.roll.is_member(out.id)
    ):
        one.state(Remove(box=out.id, frontier=one.log.without(out.id)))


def _join(world: World, one: Node, act: Act) -> None:
    """Let a box in that is new, as pairing does: it is told who belongs."""
    number = FOUNDERS + act.other % (BOXES - FOUNDERS)
    new = world.nodes[number]
    if number in world.joined or not one.is_member:
        return
    world.joined.add(number)
    new.start()
    one.state(Add(key=new.key.public_key().public_bytes_raw(), name=str(number)))
    run(new.held.write(lambda log: log.take_statements(one.log.statements())))
    new.exchange.forget(new.log.roll)


def _age(world: World, one: Node, act: Act) -> None:
    """Let days pass; who is on drops what is too old, now and then somebody doesn't come to it."""
    del one
    world.time.passed_s += (1, 9, 31, FORGOTTEN_MS / 86_400_000 + 1)[act.much % 4] * DAY_S
    for node in world.nodes:
        if node.is_on and world.chance.random() < 0.8:
            node.shorten()


def _shorten(world: World, one: Node, act: Act) -> None:
    del world, act
    one.shorten()


ACTS: Mapping[str, tuple[Callable[[World, Node, Act], None], int]] = {
    "say": (_say, 30),
    "same": (_same, 6),
    "meet": (_meet, 36),
    "cut": (_cut, 6),
    "mend": (_mend, 3),
    "kill": (_kill, 6),
    "lose": (_lose, 3),
    "image": (_image, 5),
    "clone": (_clone, 1),
    "rewind": (_rewind, 5),
    "twin": (_twin, 2),
    "remove": (_remove, 2),
    "join": (_join, 2),
    "age": (_age, 1),
    "shorten": (_shorten, 1),
}
"""Each kind, and how often it comes."""
KINDS = tuple(ACTS)


def random_history(seed: int | str, most: int = 120) -> list[Act]:
    """Return what happens in one."""
    chance = random.Random(f"history {seed}")
    kinds = chance.choices(KINDS, [often for _, often in ACTS.values()], k=chance.randrange(most))
    return [Act(kind, chance.randrange(BOXES), chance.randrange(BOXES + 2), chance.randrange(20)) for kind in kinds]


def live(world: World, acts: Iterable[Act]) -> None:
    """Let it all happen."""
    for act in acts:
        one = world.nodes[act.one % len(world.nodes)]
        world.time.passed_s += 1.0
        if act.kind == "kill" and not one.is_on and world.has_begun(one):
            one.start()
        elif one.is_on or act.kind == "age":
            ACTS[act.kind][0](world, one, act)


def _introduce(world: World, there: Sequence[Node]) -> None:
    """Let those meet who believe otherwise: the next in line of a new box may not know it yet, nor be known to it."""
    for one, other in itertools.combinations(there, 2):
        if one.log.roll != other.log.roll:
            world.meet(one, other)


def end(world: World) -> None:
    """Put everything right, and let everybody hear of everybody, along a line of neighbours: there and back."""
    world.cut.clear()
    for node in world.nodes:
        if not node.is_on and world.has_begun(node):
            node.start()
    there = [node for node in world.nodes if node.is_on]
    for node in there:
        world.meet(there[0], node)  # who was put out may stand between two that can't hear of it otherwise
    quiet = 0
    for _ in range(ROUNDS):
        world.time.passed_s += PAUSE_S
        _introduce(world, there)
        line = world.members()
        before = [node.held.state for node in line]
        for one, other in itertools.product((node for node in line if node.was_rewound), line):
            if one.id != other.id:
                world.meet(one, other)  # of a feed written three ways each has to be shown to its box
        for one, other in [*itertools.pairwise(line), *itertools.pairwise(reversed(line))]:
            world.meet(one, other)
            if one.id == other.id:
                world.meet(next(node for node in line if node.id != other.id), other)  # no clone speaks to another
        quiet = quiet + 1 if [node.held.state for node in line] == before else 0
        if quiet == QUIET_ROUNDS:
            break


# What is to be true in the end.


def check(world: World, before: Mapping[int, set[str]]) -> None:
    """AssertionError, in words, unless all who belong have and believe the same, and each thing was news once."""
    members = world.members()
    first = members[0]
    for node in members:
        who = f"box {node.number}"
        assert node.log.roll == first.log.roll, f"{who} believes other boxes than box {first.number}"
        assert node.held.state.believe == first.held.state.believe, f"{who} has other statements"
        _each_once(node, who)
    there = [(node.number, node.natives()) for node in members]
    had = set[str]().union(*(before[node.number] for node in members))
    for native, said_s in world.said.items():
        if world.time.passed_s - said_s < RETENTION_S - DAY_S:
            lacking = [number for number, natives in there if native not in natives]
            assert len(lacking) in {0, len(members)} or world.was_written_two_ways(native), (
                f"{native} isn't at {lacking}"
            )
            is_lost = lacking and native in had and not _is_of_removed(world, native)
            assert not is_lost, f"{native} was at one of them and is nowhere now"
            # What a removed box said is forgotten, and news again where another box says the same, or where it turns
            # out that the remover had been removed. Who reads the log knows it by its id, and shows it once.
            was_out = _is_of_removed(world, native) or not world.once_out.isdisjoint(world.sayers[native])
            twice = [node.number for node in members if node.shown[native] > 1 and not was_out]
            assert not twice, f"{native} was news more than once at {twice}"
    for node in members:
        assert node.counts["peer_shut_out"] == 0, f"box {node.number} shut out one that did nothing bad: {node.counts}"


def _is_of_removed(world: World, native: str) -> bool:
    """Whether it may be gone for that; what came from the air, several boxes said, and any may be put out."""
    known = world.nodes[0].log.roll
    # Whoever isn't known: who let it in was put out.
    return any(box in known.limits or box not in known.boxes for box in world.sayers[native])


def _each_once(node: Node, who: str) -> None:
    last: dict[FeedId, int] = {}
    natives = [each.event.native for each in node.log.news(0, 1_000_000) if each.event.native]
    assert len(natives) == len(set(natives)), f"{who} has something twice"
    assert set(natives) == node.natives(), f"{who} shows less than it has"
    for each in node.log.news(0, 1_000_000):
        event: Event = each.event
        assert event.seq > last.get(event.feed, 0), f"{who} has {event.feed} out of order"
        last[event.feed] = event.seq


# How it is run.


class _NoTls(Contexts):
    def __init__(self) -> None:
        self._client = None  # type: ignore[assignment]


NO_TLS = _NoTls()


@functools.cache
def key_of(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number + 1]) * 32)


def off_ms(number: int) -> int:
    """Some boxes have no clock, or a wrong one."""
    return {3: -BEGAN_MS, 7: 400 * 86_400_000, 11: -600_000}.get(number, 0)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run what waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value  # type: ignore[no-any-return]
    raise RuntimeError("it waits for something")


def history(acts: Sequence[Act]) -> None:
    """Live through it, put everything right, and check."""
    world = founded(repr(acts))
    live(world, acts)
    before = {node.number: node.natives() for node in world.nodes if node.is_on or world.has_begun(node)}
    end(world)
    check(world, before)


def why_not(acts: Sequence[Act]) -> str:
    """Return what is wrong after a history; empty: nothing."""
    try:
        history(acts)
    except Exception as error:  # noqa: BLE001 - whatever it is, the history is told
        return f"{type(error).__name__}: {error}"
    return ""


def shortest(acts: list[Act]) -> list[Act]:
    """Leave out of a failing history what can be left out."""
    size = len(acts) // 2
    while size:
        at = 0
        while at < len(acts):
            fewer = [*acts[:at], *acts[at + size :]]
            if why_not(fewer):
                acts = fewer
            else:
                at += size
        size //= 2
    return acts


def said_in_words(acts: Iterable[Act]) -> str:
    """Return it as a table: what, which box, which other, how much."""
    return "\n".join(map(str, acts))


@contextlib.contextmanager
def checked_once() -> Iterator[None]:
    """Check each signature once for all boxes: twenty times the same takes most of the time."""
    known: dict[tuple[bytes, bytes, bytes], bool] = {}
    real = Event.is_by

    def is_by(event: Event, key: Ed25519PublicKey) -> bool:
        what = (key.public_bytes_raw(), event.signature, event.signed)
        if what not in known:
            known[what] = real(event, key)
        return known[what]

    Event.is_by = is_by  # type: ignore[method-assign]
    try:
        yield
    finally:
        Event.is_by = real  # type: ignore[method-assign]
