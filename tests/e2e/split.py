# SPDX-License-Identifier: GPL-3.0-or-later
"""A LAN that can be cut in two: on each side a box is at the same room, and one has a radio on the same mesh."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from bridges.lan.diary import ROOMS_FILE
from bridges.lan.reading import lines_of
from bridges.sim.airwaves import Airwaves, Heard
from bridges.sim.control import SimProcess
from bridges.sim.person import Seen
from bridges.sim.synapse import LOOPBACK, free_port
from bridges.sim.town import TIME_SCALE
from gateway.model import PENDING
from tests.e2e.lan_process import LanProcess, PageUser
from tests.e2e.triangle import Matrix
from tests.e2e.world import LISTENER, NEAR
from tests.lan_boxes import Cable
from tests.lan_row import Relays

WITHIN_S = 90.0
DIGEST_AFTER_S = 20
SAYERS = {"ali": "harbour", "bo": "hilltop", "cy": "valley", "dee": "ridge"}
"""Who is at which box's page."""
ON_AIR = ("bo", "dee", "Watcher")
"""Whose words may go on the air, besides those that came from there: it carries no more in a test's time."""
_HOME = """
[bridges.home]
kind = "matrix"
homeserver = "http://{address}"
user_id = "{user}"
{login}
"""
_RADIO = """
[bridges.radio]
kind = "meshtastic"
connection = "serial:{port}"
airtime_share = "100%"
"""
_ROUTE = """
[[routes]]
name = "town"
join = {join}
{digest}
"""
_PACE = 'radio_pace = "1s"\nradio_burst = 60\n'
_TURN_S = 6.0
"""A box with a slow way to its homeserver, as on a busy machine, is given more than the usual 2 s to be heard."""
_REACH = """
import bridges.matrix.bridge
from bridges.lan.links import Links
bridges.matrix.bridge.TURN_S = {turn_s}
learn = Links.learn
Links.learn = lambda self, address, *more: learn(self, address, *more) if address in {addresses!r} else None
"""


@dataclass(frozen=True, kw_only=True)
class Side:
    """Boxes that stay together. With one box it has room and radio both."""

    home: LanProcess
    air: LanProcess
    internet: Cable

    @property
    def boxes(self) -> tuple[LanProcess, ...]:
        """Each once."""
        return tuple(dict.fromkeys((self.home, self.air)))


@dataclass(frozen=True, kw_only=True)
class Said:
    """A line, and when it was said."""

    who: str
    text: str
    at_s: float


class Split:
    """Both sides, what is between them, and all that was said."""

    def __init__(self, matrix: Matrix, radio: Airwaves, sides: Sequence[Side], link: Relays) -> None:
        self.matrix, self.radio, self.sides, self.link = matrix, radio, sides, link
        self.said: list[Said] = []
        self.ways: dict[str, Callable[[str], Awaitable[Any]]] = {
            "Baker": matrix.baker.say,
            "Watcher": matrix.watcher.say,
            NEAR: lambda text: radio.say(NEAR, text),
            LISTENER: lambda text: radio.say(LISTENER, text),
        }
        self._counts: Counter[str] = Counter()

    @property
    def boxes(self) -> list[LanProcess]:
        """All."""
        return [box for side in self.sides for box in side.boxes]

    async def say(self, who: str, pauses_s: Sequence[float]) -> None:
        """Have somebody say a line after each pause."""
        for pause_s in pauses_s:
            await asyncio.sleep(pause_s)
            text = f"{who.lower()} {self._counts[who]:04d}"
            self._counts[who] += 1
            self.said.append(Said(who=who, text=text, at_s=time.time()))
            await self.ways[who](text)

    async def all_say(self, counts: dict[str, int], within_s: float = 0.0, chance: random.Random | None = None) -> None:
        """Have all who are there talk at once, so many lines each, at any times within so long."""
        chance = chance or random.Random(0)
        talks = []
        for who in filter(self.ways.__contains__, counts):
            times = sorted(chance.uniform(0.0, within_s) for _ in range(counts[who]))
            talks.append(self.say(who, [time_s - before for before, time_s in pairwise([0.0, *times])]))
        await asyncio.gather(*talks)

    def texts(self, *networks: str) -> list[str]:
        """Return all that was said, or what was on one of these."""
        return [one.text for one in self.said if not networks or network_of(one.who) in networks]

    def seen(self) -> list[Seen]:
        """Return what stands in the room, as people see it."""
        return [one for one in self.matrix.watcher.seen if one.msgtype == "m.text"]

    def heard(self) -> list[Heard]:
        """Return what the boxes' radios said, as one far radio heard it."""
        ours = {self.radio.gateway, self.radio.nodes["Ridge relay"]}
        return [one for one in self.radio.heard if one.node == NEAR and one.sender in ours]

    async def healed(self, within_s: float = WITHIN_S) -> float:
        """Wait until all is at every page and in the room; return how long that took."""
        began, texts = time.monotonic(), set(self.texts())
        missing: dict[str, set[str]] = {}
        try:
            async with asyncio.timeout(within_s):
                while True:
                    there = {box.name: set(await asyncio.to_thread(page_lines, box)) for box in self.boxes}
                    there["room"] = {one.text.rpartition(": ")[2] for one in self.seen()}  # also as heard on radio
                    missing = {name: texts - held for name, held in there.items() if texts - held}
                    if not missing:
                        return time.monotonic() - began
                    await asyncio.sleep(0.2)
        except TimeoutError:
            short = {name: (len(lacks), sorted(lacks)[:5]) for name, lacks in missing.items()}
            raise AssertionError(f"not within {within_s:g} s: {short}") from None

    async def settled(self, within_s: float = WITHIN_S) -> None:
        """Wait until nothing waits at any box."""
        states: dict[str, Any] = {}
        try:
            async with asyncio.timeout(within_s):
                while True:
                    states = {box.name: (await box.box.status())["deliveries"] for box in self.boxes}
                    waits = (each.get(state) for one in states.values() for each in one.values() for state in PENDING)
                    if not any(waits):
                        return
                    await asyncio.sleep(0.3)
        except TimeoutError:
            raise AssertionError(f"something still waits after {within_s:g} s: {states}") from None


def network_of(who: str) -> str:
    """Return where somebody speaks."""
    return {"Baker": "matrix", "Watcher": "matrix", NEAR: "radio", LISTENER: "radio"}.get(who, "page")


def page_lines(box: LanProcess) -> list[str]:
    """Return the words of every line in a box's room, in order."""
    return [text for _, text in page_rows(box)]


def page_rows(box: LanProcess) -> list[tuple[str, str]]:
    """Return the names and words of every line in a box's room, in order."""
    path = box.box.folder / "data" / "bridges" / "lan" / ROOMS_FILE
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as rooms:
        return [(line.name, line.text) for line in lines_of(rooms, "room = 'town' ORDER BY arrival", ())]


async def messages(box: LanProcess) -> list[dict[str, Any]]:
    """Return all messages of a box's journal, with what became of them."""
    found: list[dict[str, Any]] = []
    after = 0
    while True:
        page = (await box.box.ask("GET", f"/api/v1/messages?after={after}&limit=500")).json()
        found += page["messages"]
        if not page["messages"]:
            return found
        after = page["next_after"]


@asynccontextmanager
async def build_split(
    matrix: Matrix, others: Matrix, *, alone: bool = False, preset: str = "SHORT_TURBO", channel: str = "ShortTurbo"
) -> AsyncIterator[Split]:
    """Two sides that see each other. `others`: the same room by the second side's account. `alone`: it is one box."""
    folder = Path(tempfile.mkdtemp(prefix="cb-"))  # a short path: it holds sockets
    try:
        async with AsyncExitStack() as stack:
            mesh = await stack.enter_async_context(
                SimProcess(folder / "mesh", time_scale=TIME_SCALE, also="RDGE", preset=preset)
            )
            radio = await stack.enter_async_context(Airwaves(mesh.directory))
            ports = {"harbour": None, "hilltop": mesh.port, "ridge": mesh.directory / "radio-RDGE"}
            names = (("harbour", "hilltop"), ("ridge",) if alone else ("valley", "ridge"))
            syncs = {name: free_port() for side in names for name in side}
            cables: dict[tuple[str, str], Cable] = {}
            for here, there in ((0, 1), (1, 0)):
                for one in names[here]:
                    for other in names[there]:
                        cable = Cable(f"{LOOPBACK}:{syncs[other]}")
                        cables[one, other] = await stack.enter_async_context(cable)
            sides = []
            for side, account in zip(names, (matrix, others), strict=True):
                internet = await stack.enter_async_context(Cable(f"{LOOPBACK}:{matrix.synapse.port}"))
                boxes = {}
                for name in side:
                    near = [f"{LOOPBACK}:{syncs[each]}" for each in side if each != name]
                    peers = near + [cable.address for (one, _), cable in cables.items() if one == name]
                    boxes[name] = _box(
                        folder,
                        name,
                        syncs[name],
                        peers,
                        home=(account, internet) if name == side[0] else None,
                        radio=ports.get(name),
                        channel=channel,
                    )
                sides.append(Side(home=boxes[side[0]], air=boxes[side[-1]], internet=internet))
            split = Split(matrix, radio, sides, Relays(*cables.values()))
            await asyncio.gather(*(stack.enter_async_context(box.box) for box in split.boxes))
            first, *rest = split.boxes
            for box in rest:
                await first.let_in(box)
            for nick, at in SAYERS.items():
                for box in split.boxes:
                    if box.name == at:
                        user: PageUser = await stack.enter_async_context(box.person(nick))
                        split.ways[nick] = user.say
            await _serve(split)
            yield split
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _box(
    folder: Path,
    name: str,
    sync: int,
    peers: list[str],
    *,
    home: tuple[Matrix, Cable] | None,
    radio: Path | None,
    channel: str,
) -> LanProcess:
    ends, join = "", ["lan/town"]
    permissions = '"*" = "read"\n"~*" = "transmit"\n"!*" = "transmit"\n"@*" = "transmit"\n'
    if home is not None:
        account, internet = home
        ends += _HOME.format(address=internet.address, user=account.gateway, login=account.login)
        join.append(f"home/{account.alias}")
    if radio is not None:
        ends += _RADIO.format(port=radio)
        join.append(f"radio/{channel}")
        may = [f"~*@{SAYERS[nick]}" for nick in ON_AIR if nick in SAYERS]
        permissions = "".join(f'"{who}" = "transmit"\n' for who in (*may, "!*", "@*watcher:*"))
    digest = f'digest_after = {{ radio = "{DIGEST_AFTER_S}s" }}' if radio is not None else ""
    ends += _ROUTE.format(join=json.dumps(join), digest=digest)
    box = LanProcess(
        folder / name,
        name,
        syncs=True,
        sync=sync,
        permissions=permissions,
        ends=ends,
        more=f"{_PACE}peers = {json.dumps(peers)}\n",
        first=_REACH.format(addresses=peers, turn_s=_TURN_S),
    )
    if home is not None:
        token = folder / name / "matrix.token"
        token.touch(mode=0o600)
        token.write_text(home[0].token)
    return box


async def _serve(split: Split) -> None:
    """Wait until each box knows that two serve the room, and two the channel."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            members = json.loads(await split.sides[0].home.command("lan", "peers", "-o", "json"))["members"]
            served = Counter(name for member in members for name in member["serves"])
            if len(members) == len(split.boxes) and len(served) == 2 and set(served.values()) == {2}:
                return
            await asyncio.sleep(0.3)


def assert_once(there: Iterable[str], said: Sequence[str], where: str, *, but: int = 0) -> None:
    """Each text is there, once, and nothing that only looks like one. `but`: so many may be there twice."""
    found = Counter(there)
    twice = [text for text in said if found[text] == 2][:but]
    if twice:
        print(f"twice in {where}: {twice}")
    wrong = {text: found[text] for text in said if found[text] != 1 and text not in twice}
    strange = [text for text in found if text not in set(said)]
    assert not wrong, f"{where}: {len(wrong)} not once: {list(wrong.items())[:6]}"
    assert not strange, f"{where}: {len(strange)} that nobody said: {strange[:6]}"


def assert_in_order(there: Iterable[str], where: str) -> None:
    """Each sender's lines are in the order in which they were said."""
    last: dict[str, int] = {}
    for text in there:
        who, _, number = text.rpartition(" ")
        assert last.get(who, -1) < int(number), f"{where}: {text} after {last[who]}"
        last[who] = int(number)
