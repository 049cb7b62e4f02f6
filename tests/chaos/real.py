# SPDX-License-Identifier: GPL-3.0-or-later
"""The real leg: the gateway between a real Synapse and a simulated mesh on a serial port, at a time scale."""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bridges.sim.synapse import synapse_python
from gateway.model import PENDING, MessageId, NativeId, message_id
from gateway.unanswered import UNANSWERED_EVERY_S, UNANSWERED_S
from tests.chaos.act import Act, Outcome, Wish, beside, calm, closed, let_loose
from tests.chaos.air_account import AirAccount, Offer
from tests.chaos.damage import QueueFiles, keep_remembering
from tests.chaos.journal_read import VISIBLE_ENDS, fates, opened, place_of
from tests.chaos.ledger import Kind, Ledger, read
from tests.chaos.real_faults import DIRECT_NODE, REAL_FAULTS, RealScene
from tests.chaos.victim import Victim
from tests.chaos.village import CHANNELS, MOUTHS, TIME_SCALE, Village, village

MOST_ON_AIR = 40
"""More of what was said in rooms isn't on its way at a time: the radio's own pace is the bound."""
MOST_TO_ROOMS = 150
MOST_FETCHED_LATER = 20
"""People on the radio hold back while its memory for an absent client fills up."""
ROOM_EVERY_S, AIR_EVERY_S, DIRECT_EVERY_S = 0.03, 0.1, 1.5
VERDICT_S = 200.0 / TIME_SCALE
"""A direct message's last word comes within this."""
TRIES = 3
DIRECT = CHANNELS["chat"]
UNSENT = "taken by the radio, which restarted before it was on the air"


def why_not() -> str:
    """Return why there can be no such leg here; empty if there can."""
    return "" if synapse_python() else "there is no Synapse: `make test` installs one"


@dataclass(slots=True, kw_only=True)
class _Stage:
    scene: RealScene
    village: Village
    ledger: Ledger
    unfetched: int = 0


async def play(wish: Wish) -> Outcome:
    """Run one act of the real leg."""
    async with _stage(wish) as stage:
        scene = stage.scene
        act = Act(wish=wish, ledger=stage.ledger, up=scene.victim.wait_up)
        try:
            async with beside(_jobs(stage, act)):
                await scene.victim.wait_up()
                faults = {name: fault for name, (fault, _) in REAL_FAULTS.items()}
                await let_loose(act, scene, {name: habit for name, (_, habit) in REAL_FAULTS.items()}, faults)
                await calm(act, settled=partial(_is_settled, scene))
                if "node_away" in act.faults:
                    await asyncio.sleep(VERDICT_S)
                    await _last_words(scene)
                scene.account.overflowed = int((await scene.order("status"))["counts"].get("overflow", 0))
        finally:
            act.last_exit = await scene.victim.stop()
        act.ended_itself = Counter(map(str, scene.victim.ended_itself))
        act.figures.update(gateway_starts=scene.victim.starts, told=scene.victim.told(), time_scale=TIME_SCALE)
        with opened(scene.files.data_dir / "journal.db") as journal:
            _accept_offers(stage, act, journal)
            judge = _Judge(journal, stage)
            return closed(act, excuse=judge.excuse, copies=judge.copies)


@asynccontextmanager
async def _stage(wish: Wish) -> AsyncIterator[_Stage]:
    run_dir = Path(tempfile.mkdtemp(prefix="cb-"))
    data_dir = wish.folder / "data"
    ledger = Ledger(wish.folder / "ledger.txt")
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, run_dir, ignore_errors=True)
        stack.callback(ledger.close)
        seed = random.Random(f"{wish.seed}:mesh").getrandbits(31)
        async with village(wish.folder, run_dir, seed, ledger) as built:
            victim = Victim(wish.folder, built.config(data_dir, run_dir), run_dir=run_dir, time_scale=TIME_SCALE)
            account = AirAccount(now_s=ledger.now_s)
            victim.on_kill = partial(_killed, ledger, account)
            scene = RealScene(
                victim=victim,
                files=QueueFiles(data_dir),
                networks=(),
                disk=None,
                say=ledger.note,
                synapse=built.synapse,
                mesh=built.mesh,
                account=account,
            )
            yield _Stage(scene=scene, village=built, ledger=ledger)


def _jobs(stage: _Stage, act: Act) -> list[Coroutine[Any, Any, None]]:
    rooms = [_talk_in_room(stage, act, room) for room in CHANNELS]
    air = [_talk_on_air(stage, act, place) for place in MOUTHS]
    return [stage.scene.victim.keep(), keep_remembering(stage.scene.files), _watch_radio(stage), *rooms, *air]


async def _talk_in_room(stage: _Stage, act: Act, room: str) -> None:
    """Somebody says one thing after the other; each counts from the moment the homeserver has acknowledged it."""
    chance = random.Random(f"{act.wish.seed}:{room}")
    every_s = DIRECT_EVERY_S if room == "chat" else ROOM_EVERY_S
    stream = f"home/{room}>radio/{CHANNELS[room]}"
    for number in itertools.count(1):
        await asyncio.sleep(chance.expovariate(1 / every_s))
        while not act.is_talking or stage.ledger.on_its_way > min(MOST_ON_AIR, act.wish.most_on_its_way):
            await asyncio.sleep(0.05)
        text = f"home/{room}#{number}"
        event_id = await stage.village.speakers[room].say(text, room_id=stage.village.rooms[room], timeout_s=120)
        stage.village.event_ids[stream, number] = event_id
        stage.ledger.accept(stream, number)


async def _talk_on_air(stage: _Stage, act: Act, place: str) -> None:
    """Somebody at a far radio says one thing after the other; accepted is what the journal gets."""
    chance = random.Random(f"{act.wish.seed}:{place}")
    node, channel = MOUTHS[place]
    every_s = DIRECT_EVERY_S if channel is None else AIR_EVERY_S
    where = {"to": stage.village.gateway_node} if channel is None else {"channel": channel}
    room = next(name for name, there in CHANNELS.items() if there == place)
    most = min(MOST_TO_ROOMS, 4 * act.wish.most_on_its_way)
    sender = next(found["number"] for found in await stage.scene.order("nodes") if found["long_name"] == node)
    for number in itertools.count(1):
        await asyncio.sleep(chance.expovariate(1 / every_s))
        while not act.is_talking or stage.unfetched > MOST_FETCHED_LATER or _lead(stage) > most:
            await asyncio.sleep(0.05)
        at_s = stage.ledger.now_s()
        packet_id = await stage.scene.order("say", node=node, text=f"radio/{place}#{number}", **where)
        stage.scene.account.offers.append(
            Offer(
                stream=f"radio/{place}>home/{room}",
                number=number,
                sender=sender,
                id=packet_id,
                at_s=at_s,
                from_away=node == DIRECT_NODE,
            )
        )


async def _last_words(scene: RealScene) -> None:
    """Wait until direct messages whose wait the queue has lost are given up, too; not longer than that takes."""
    after_s = (UNANSWERED_S + 2 * UNANSWERED_EVERY_S) / TIME_SCALE
    with suppress(TimeoutError):
        async with asyncio.timeout(after_s):
            while await _open_directs(scene):
                await asyncio.sleep(1.0)


async def _open_directs(scene: RealScene) -> bool:
    try:
        page = (await scene.victim.ask("GET", f"/api/v1/messages?limit=500&address=radio/{DIRECT}")).json()
    except OSError:
        return True
    states = {
        one["state"] for found in page["messages"] for one in found["deliveries"] if one["to"] == f"radio/{DIRECT}"
    }
    return bool(states & {"sent", "heard"})


def _lead(stage: _Stage) -> int:
    """Return how many of the radio's packets haven't been seen in a room."""
    return len(stage.scene.account.offers) - stage.ledger.seen_early


async def _is_settled(scene: RealScene) -> bool:
    """Whether nothing waits: neither in the gateway nor in the radio for it."""
    try:
        deliveries = (await scene.victim.ask("GET", "/api/v1/status", timeout_s=3.0)).json()["deliveries"]
    except (OSError, KeyError):
        return False
    pending = any(states.get(state) for states in deliveries.values() for state in PENDING)
    return not pending and not (await scene.order("status"))["buffered"]


async def _watch_radio(stage: _Stage) -> None:
    while True:
        status = await stage.scene.order("status")
        stage.unfetched = status["buffered"]
        stage.scene.account.has_client(status["configured"])
        await asyncio.sleep(0.1)


def _killed(ledger: Ledger, account: AirAccount) -> None:
    ledger.note("the gateway is killed")
    account.killed()


def _accept_offers(stage: _Stage, act: Act, journal: sqlite3.Connection) -> None:
    """Write down which of the radio's packets became the gateway's; account for the others."""
    missing, accepted = [], []
    seen = {(entry.stream, entry.number) for entry in read(stage.ledger.path) if entry.kind is Kind.SEEN}
    for offer in stage.scene.account.offers:
        place = place_of(journal, message_id(NativeId(f"mt:{offer.sender:08x}:{offer.id:08x}")))
        if place is not None or (offer.stream, offer.number) in seen:
            accepted.append((place or 0, offer))
        else:
            missing.append(offer)
    for _, offer in sorted(accepted, key=lambda found: found[0]):
        stage.ledger.accept(offer.stream, offer.number)
    causes, unexplained = stage.scene.account.why_not_accepted(missing)
    for offer in unexplained:
        words = f"{offer.stream} #{offer.number}, said at {offer.at_s:.3f} s, is not in the journal"
        stage.ledger.note(f"nothing explains that {words}")
        stage.ledger.accept(offer.stream, offer.number)
    act.figures["said_on_air"] = len(stage.scene.account.offers)
    act.figures["not_accepted"] = dict(causes)


class _Judge:
    """Says what the journal and the radio excuse."""

    def __init__(self, journal: sqlite3.Connection, stage: _Stage) -> None:
        self._journal = journal
        self._ids = stage.village.event_ids
        self._unsent = stage.scene.account.unsent

    def excuse(self, stream: str, number: int) -> str | None:
        """Return why a message said in a room needn't be on the air; none for the other way."""
        for fate in fates(self._journal, self._id(stream, number)):
            if fate.state in VISIBLE_ENDS:
                return f"{fate.state}: {fate.reason}"
            if fate.state == "sent" and self._unsent > 0:
                self._unsent -= 1
                return UNSENT
        return None

    def copies(self, stream: str, number: int) -> int:
        """Return how often it may be seen: a direct message once more per try that nobody acknowledged."""
        if ">radio/" not in stream:
            return 1
        generations = [fate.generation for fate in fates(self._journal, self._id(stream, number))]
        again = max(generations, default=0)
        return min(TRIES, again + 1) if ">radio/!" in stream or again else 1

    def _id(self, stream: str, number: int) -> MessageId:
        return message_id(NativeId(f"mx:{self._ids.get((stream, number), '')}"))
