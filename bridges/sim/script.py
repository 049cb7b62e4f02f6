# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripted conversation of ``crossband demo --once``: both ways, through three outages, counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from bridges.sim.airwaves import Heard
from bridges.sim.ledger import Ledger, Line, Side
from bridges.sim.person import Seen
from bridges.sim.town import Town

LISTENER = "River lock"
"""At whose radio we count what arrives."""
AWAY_S = 10.0
"""How long the homeserver and the radio are away."""
_PACE_S = 1.8
_ANSWER_WITHIN_S = 25.0
_THINKS_S = 0.5
"""Before an answer. People do; and the gateway hears what a room or a radio calls a message at the moment
in which everybody else there gets to see it."""
_BACK_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Say:
    """Someone says something. `answers` counts from 1 among what the other side says."""

    side: Side
    who: str
    words: str
    answers: int | None = None


@dataclass(frozen=True, slots=True)
class Outage:
    """Something is away while people go on talking: for `AWAY_S`, or as long as they talk."""

    what: str
    meanwhile: tuple[Say, ...]


def _room(who: str, words: str, answers: int | None = None) -> Say:
    return Say(Side.ROOM, who, words, answers)


def _radio(who: str, words: str, answers: int | None = None) -> Say:
    return Say(Side.RADIO, who, words, answers)


SCRIPT: tuple[Say | Outage, ...] = (
    _room("Teacher", "The bridge road is closed, who can see the ford?"),
    _radio("Market square", "Morning. Stalls are up, no power yet"),
    _room("Baker", "Bread at nine then, from the wood oven", answers=1),
    _radio("River lock", "Ford is knee deep, carts only", answers=1),
    _room("Teacher", "Thank you. School opens at ten"),
    Outage(
        "homeserver",
        (
            _radio("Market square", "Two families need a lift to school", answers=3),
            _radio("River lock", "Water is falling, a hand's breadth an hour"),
            _radio("Ridge relay", "I can see the mast lights in the valley"),
        ),
    ),
    _room("Baker", "I take the families along with the bread", answers=3),
    _radio("Market square", "They wait at the fountain"),
    _room("Teacher", "Then we start with the little ones"),
    Outage(
        "radio",
        (
            _room("Baker", "Cart is loaded", answers=6),
            _radio("River lock", "Ford is ankle deep now"),
            _room("Teacher", "Who has a spare lamp?"),
            _radio("Ridge relay", "Two lamps at the relay hut"),
        ),
    ),
    _room("Baker", "I pass the hut at noon", answers=8),
    Outage(
        "gateway",
        (
            _room("Teacher", "The lamps would help in the hall"),
            _radio("Market square", "Power is back on the north side"),
        ),
    ),
    _radio("Ridge relay", "Lamps are packed", answers=9),
    _room("Baker", "All delivered, the ford was fine", answers=7),
    _radio("River lock", "Ford is open for everyone", answers=1),
    _room("Teacher", "School is out, thank you all"),
    _radio("Market square", "Fetching my two, good night", answers=11),
    _room("Baker", "Good night from the bakery", answers=12),
)


class Play:
    """One performance. `tell` is given every happening as (kind, words)."""

    def __init__(self, town: Town, tell: Callable[[str, str], None]) -> None:
        self._town = town
        self._tell = tell
        self.ledger = Ledger()
        self._lines: dict[Side, list[Line]] = {Side.ROOM: [], Side.RADIO: []}
        self._progress = asyncio.Event()

    async def run(self, *, within_s: float) -> Ledger:
        """Play it all and wait for the last arrival; after `within_s` seconds what is missing is lost."""
        self._town.radios.heard.told.append(self._heard)
        self._town.visitor.seen.told.append(self._seen)
        try:
            async with asyncio.timeout(within_s):
                for step in SCRIPT:
                    await self._do(step)
                await self._until(self.ledger.is_complete)
                await asyncio.sleep(_PACE_S)  # a double would come about now
        except TimeoutError:
            self._tell("trouble", f"stopped waiting after {within_s:g} s")
        finally:
            self._town.radios.heard.told.remove(self._heard)
            self._town.visitor.seen.told.remove(self._seen)
        return self.ledger

    async def _do(self, step: Say | Outage) -> None:
        match step:
            case Say():
                await self._say(step)
                await asyncio.sleep(_PACE_S)
            case Outage(what="homeserver"):
                await self._homeserver_away(step)
            case Outage(what="radio"):
                await self._radio_away(step)
            case Outage():
                await self._gateway_killed(step)
            case _ as other:
                assert_never(other)

    async def _homeserver_away(self, outage: Outage) -> None:
        self._tell("outage", f"the homeserver goes away for {AWAY_S:g} s")
        await self._town.synapse.kill()
        await self._for_a_while(outage)
        await self._town.synapse.start()
        self._tell("back", "the homeserver is back")

    async def _radio_away(self, outage: Outage) -> None:
        self._tell("outage", f"the gateway's radio is unplugged for {AWAY_S:g} s")
        await self._town.radios.unplug()
        await self._for_a_while(outage)
        await self._town.radios.plug()
        self._tell("back", "the radio is plugged in again")

    async def _gateway_killed(self, outage: Outage) -> None:
        # What a radio has handed over can't be asked for again until it is in the journal, some
        # milliseconds later: that window is measured elsewhere. The other way is left in full flow.
        await self._until(lambda: self.ledger.has_all_from(Side.RADIO))
        self._tell("outage", "the gateway is killed (SIGKILL)")
        await self._town.box.kill9()
        for say in outage.meanwhile:
            await self._do(say)
        await self._town.box.start(timeout_s=_BACK_WITHIN_S)
        self._tell("back", "the gateway runs again")

    async def _for_a_while(self, outage: Outage) -> None:
        over = asyncio.get_running_loop().time() + AWAY_S
        for say in outage.meanwhile:
            await self._do(say)
        await asyncio.sleep(max(over - asyncio.get_running_loop().time(), 0))

    async def _say(self, say: Say) -> None:
        answered = self._lines[say.side.other][say.answers - 1] if say.answers else None
        target = await self._id_of(answered, say.side)
        line = self.ledger.say(say.side, say.words, answers=answered)
        self._lines[say.side].append(line)
        self._tell(say.side.value, f"{say.who}: {line.text}{_arrow(answered)}")
        if say.side is Side.ROOM:
            reply = None if target is None else str(target)
            line.ids[Side.ROOM] = await self._town.people[say.who].say(line.text, reply)
        else:
            line.ids[Side.RADIO] = await self._town.radios.say(say.who, line.text, reply_to=int(target or 0))

    async def _id_of(self, line: Line | None, side: Side) -> str | int | None:
        """Return the id under which people on `side` know the line: to answer it, they must have it."""
        if line is None:
            return None
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                await self._until(lambda: side in line.ids)
                await asyncio.sleep(_THINKS_S)
        except TimeoutError:
            self._tell("trouble", f"nobody on this side has heard of {line.text!r} yet")
        return line.ids.get(side)

    async def _until(self, there: Callable[[], bool]) -> None:
        while not there():
            self._progress.clear()
            await self._progress.wait()

    def _heard(self, heard: Heard) -> None:
        if heard.node != LISTENER or heard.sender != self._town.radios.gateway:
            return
        name, _, text = heard.text.partition(": ")
        answers = heard.reply_id or None
        self._note(Side.RADIO, name, self.ledger.arrive(Side.RADIO, text, id=heard.id, answers=answers), heard.text)

    def _seen(self, seen: Seen) -> None:
        if seen.sender != self._town.box.wiring.user_id or seen.msgtype != "m.text":
            return
        line = self.ledger.arrive(Side.ROOM, seen.text, id=seen.event_id, answers=seen.reply_to)
        self._note(Side.ROOM, seen.name, line, seen.text)

    def _note(self, side: Side, name: str, line: Line | None, text: str) -> None:
        if line is None:
            self._tell("trouble", f"on the {side.value} side, said by nobody: {text!r}")
            return
        times = "" if line.arrivals <= 1 else f" (for the {line.arrivals}. time)"
        self._tell("arrived", f"{line.side.value} {line.number:02} is on the {side.value} side, from {name}{times}")
        if line.answers is not None and not line.is_answer_kept and line.arrivals == 1:
            self._tell("trouble", f"{line.text!r} arrived without what it answers, {line.answers.text!r}")
        self._progress.set()


def _arrow(answered: Line | None) -> str:
    return f"  [answers {answered.side.value} {answered.number:02}]" if answered else ""
