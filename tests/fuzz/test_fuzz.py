# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a radio's line or the LAN brings, the bridge goes on, and what is good after it is heard.

`FUZZ_SEED=N` repeats a run.
"""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import dataclass

import pytest
from meshtastic.protobuf.mesh_pb2 import FromRadio

from bridges.sim.framing import frame
from bridges.sim.identity import GATEWAY
from tests.fuzz import corpus, lines
from tests.fuzz.mutation import Mutator
from tests.virtual_time import run_virtually

SEVERAL = 14
"""Good frames that are longer, together, than anything a bad one before them may take for its own."""
CORPUS = 3000
LONGEST_QUIETS = 10
"""Waits in a row: what the radio says to our own packets may break a silence."""
BREATHE_EVERY = 50
"""Cases between which time passes: what waits for a moment must get one."""


@dataclass
class Run:
    """What came of it."""

    bad: int = 0
    good: int = 0
    heard: int = 0
    said: int = 0
    """Good ones that came out as messages; where a bad one changed who we are or our channels, they need not."""
    quiet: int = 0
    """Good ones for which the line had to be quiet first."""


def a_seed() -> int:
    seed = int(os.environ.get("FUZZ_SEED") or random.randrange(2**32))
    print(f"FUZZ_SEED={seed}")
    return seed


def facts(bridge):
    """What a good frame is understood by: our number, our channels."""
    return bridge.foresee("any").native_id, tuple(bridge.conversations())


async def frames(folder, seed, count):
    """Damage so many frames; after each, one good one, or several without a pause."""
    chance, run = random.Random(seed), Run()
    whole = corpus.said_by_radio(chance, CORPUS, own=GATEWAY.number)
    mutator = Mutator(chance, whole)
    async with lines.radio(folder, seed) as (line, ears, bridge):
        before = facts(bridge)
        while run.bad < count:
            line.say(mutator.frame(chance.choice(whole)))
            run.bad += 1
            markers = [lines.marker(run.good + at) for at in range(SEVERAL if chance.random() < 0.03 else 1)]
            line.say(b"".join(each for each, _, _ in markers))
            run.good += len(markers)
            await settle(line, ears, run, [packet for _, packet, _ in markers])
            if facts(bridge) != before:
                line.say(frame(FromRadio(rebooted=True).SerializeToString()))
                await asyncio.sleep(lines.QUIET_S)
                assert facts(bridge) == before
            else:
                await said(ears, run, [words for _, _, words in markers])
            await rest(run, ears)
    return run, ears


async def settle(line, ears, run, ids):
    run.quiet += not ears.arrived.issuperset(ids)
    for _ in range(LONGEST_QUIETS):
        if ears.arrived.issuperset(ids):
            break
        await asyncio.sleep(lines.QUIET_S)
    missing = [each for each in ids if each not in ears.arrived]
    assert not missing, f"case {run.bad}: {len(missing)} good ones of {len(ids)} were lost"
    run.heard += len(ids)


async def said(ears, run, words):
    for _ in range(4):
        if ears.texts.issuperset(words):
            break
        await asyncio.sleep(0)
    else:
        await asyncio.sleep(lines.QUIET_S)
    assert ears.texts.issuperset(words), f"case {run.bad}: it got as far as the session and no further"
    run.said += len(words)


async def rest(run, ears):
    assert not ears.failures.lines, f"case {run.bad}: {ears.failures.lines}"
    ears.forget()
    if run.bad % BREATHE_EVERY == 0:
        await asyncio.sleep(0.3)


async def datagrams(folder, seed, count):
    """Damage so many datagrams, half of them before they are encrypted; after each, a good one."""
    chance, run, sayer = random.Random(seed), Run(), lines.Sayer(seed)
    packets = [corpus.packet(chance, own=GATEWAY.number) for _ in range(CORPUS)]
    contents = [each.decoded.SerializeToString() for each in packets]
    wholes = [sayer.closed(packet, content) for packet, content in zip(packets, contents, strict=True)]
    inside, outside = Mutator(chance, contents), Mutator(chance, wholes)
    async with lines.lan(folder, seed) as (line, ears, _):
        line.say(sayer.introduction())
        while run.bad < count:
            at = chance.randrange(CORPUS)
            if chance.random() < 0.5:
                packet = packets[at]
                packet.id = chance.getrandbits(32)
                line.say(sayer.closed(packet, inside.payload(contents[at])))
            else:
                line.say(outside.payload(wholes[at]))
            run.bad += 1
            good, number, words = sayer.marker(run.good)
            line.say(good)
            run.good += 1
            await asyncio.sleep(0)
            await settle(line, ears, run, [number])
            await said(ears, run, [words])
            await rest(run, ears)
    return run, ears


def check(run, ears):
    print(f"bad {run.bad}, good {run.good}, heard {run.heard}, said {run.said}, after a pause {run.quiet}")
    print(f"messages {ears.messages}", dict(ears.counts.most_common(60)))
    assert run.heard == run.good
    assert run.said > 0.9 * run.good
    assert ears.messages > run.said, "nothing that is damaged came through: it was not near enough to what is good"
    assert ears.counts["frame_failed"] == ears.counts["lan_failed"] == 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fuzz", [frames, datagrams])
def test_no_exception_and_no_good_frame_lost_in_many_bad_ones(tmp_path, fuzz):
    check(*run_virtually(fuzz(tmp_path, a_seed(), 6_000)))


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("fuzz", [frames, datagrams])
def test_no_exception_and_no_good_frame_lost_in_a_million_bad_ones(tmp_path, fuzz):
    check(*run_virtually(fuzz(tmp_path, a_seed(), 1_000_000)))
