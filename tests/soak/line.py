# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages over a serial line that drops, cuts, repeats, holds up and damages bytes, and is pulled out now and then.

A real bridge on the simulator's PTY. What arrived whole is known from the line, not from the bridge: the simulator
is told what became of each frame's bytes, and a `Ledger` compares.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from meshtastic.protobuf.mesh_pb2 import FromRadio

from bridges.meshtastic.bridge import MeshtasticBridge
from bridges.sim.framing import HEADER_BYTES
from bridges.sim.identity import BROADCAST, FAR_NODES
from bridges.sim.packets import packet_of, text_data
from gateway.model import BridgeError, Message, Text, TransientError
from tests.bench.running import resident_mib
from tests.contract.harness_meshtastic import LONG_FAST, Air, air, bridge_on, said

FIRST_ID = 0x50000000
EVERY_S = 0.018
"""Between two texts: 55 a second are what two radios hear of a channel that is never silent, on the fastest preset."""
ROOM = 16
"""So many packets the node may keep for its client before more is said to it: it drops what it has no room for."""
UNSURE_S = 1.5
"""What went on the line so shortly before it was pulled out may have been read or not."""
LAST_WITHIN_S = 60.0
AGAIN_S = 0.15
"""Real seconds until a text of ours that failed is tried again."""


@dataclass
class Ledger:
    """What the line did to each text, and what the bridge made of it."""

    texts: dict[int, str] = field(default_factory=dict)
    whole: dict[int, float] = field(default_factory=dict)
    """When a text arrived whole at our end, by packet id."""
    unsure: set[int] = field(default_factory=set)
    seen: Counter[int] = field(default_factory=Counter)
    damaged: int = 0
    """Came out as something else than was said: the line's protocol has no checksum."""
    frames: Counter[str] = field(default_factory=Counter)

    def on_line(self, frame: bytes, made: bytes) -> None:
        """Take what the line makes of a frame."""
        is_whole = frame in made
        self.frames["whole" if is_whole else "lost" if not made else "spoiled"] += 1
        self.frames["twice"] += made == frame + frame
        packet = FromRadio.FromString(frame[HEADER_BYTES:]).packet
        if is_whole and packet.id in self.texts:
            self.whole[packet.id] = asyncio.get_running_loop().time()

    def pulled_out(self) -> None:
        """The line was cut just now."""
        now = asyncio.get_running_loop().time()
        self.unsure |= {packet for packet, at in self.whole.items() if now - at < UNSURE_S}

    def heard(self, message: Message) -> None:
        """Take what the bridge received."""
        packet = int(message.remote_id or "0", 16)
        body = message.content.body if isinstance(message.content, Text) else ""
        if self.texts.get(packet) == body:
            self.seen[packet] += 1
        else:
            self.damaged += 1

    @property
    def missing(self) -> set[int]:
        """Arrived whole, surely, and were not used."""
        return self.whole.keys() - self.unsure - self.seen.keys()


@dataclass
class Soak:
    """One run, and its figures."""

    seed: int
    ledger: Ledger = field(default_factory=Ledger)
    counts: Counter[str] = field(default_factory=Counter)
    """What the bridge counted."""
    connected: int = 0
    cuts: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    """Why there was no connection, or no more."""
    sent: Counter[str] = field(default_factory=Counter)
    """What became of the texts of ours, by how it ended."""
    heard_far: int = 0
    rss_mib: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        ledger = self.ledger
        return (
            f"seed {self.seed}: said to us {len(ledger.texts)}, arrived whole {len(ledger.whole)}, of these used "
            f"{len(ledger.whole.keys() & ledger.seen.keys())}, missing {len(ledger.missing)}, not sure "
            f"{len(ledger.unsure)}; came again {ledger.seen.total() - len(ledger.seen)}, damaged {ledger.damaged}\n"
            f"frames {dict(ledger.frames)}; line pulled out {self.cuts}, connected {self.connected}\n"
            f"lost {dict(self.lost)}\n"
            f"ours {dict(self.sent)}, heard far away {self.heard_far}\n"
            f"RSS MiB {' '.join(f'{each:.1f}' for each in self.rss_mib)}\n{dict(self.counts)}"
        )


def worsen(network: Air) -> None:
    """About every tenth frame suffers."""
    faults = network.port.faults
    faults.lose_frame = faults.cut_frame = 0.02
    faults.duplicate_frame = 0.03
    faults.lose_byte = faults.repeat_byte = faults.corrupt_byte = 0.0003
    faults.lose_byte_in = 0.0003
    faults.stall_frame, faults.stall_s = 0.002, 0.7
    faults.delay_s = 0.005
    faults.bytes_per_s = 11_520.0


def text(number: int, chance: random.Random) -> str:
    return f"soak {number} " + "".join(chance.choice("abcde éß漢👍 ") for _ in range(chance.randrange(40)))


async def soak(folder: Path, *, seed: int, messages: int, cut_every: int, ours: int) -> Soak:
    """Have so many texts said to the bridge, and say `ours`, pulling the line out every so many."""
    chance, run = random.Random(seed), Soak(seed)
    async with air(folder, scale=1.0, seed=seed) as network:
        worsen(network)
        network.port.faults.watch = run.ledger.on_line
        bridge = bridge_on(network, folder, scale=1.0, airtime_share="100%", positions="on", want_ack=False)
        run.counts = network.counts
        listening = asyncio.create_task(_listen(bridge, run))
        sending = asyncio.create_task(_send(bridge, run, ours))
        for number in range(messages):
            await _room(network)
            _say(network, run.ledger, number, text(number, chance))
            if number % cut_every == cut_every // 2:
                await _pull_out(network, run, chance)
            if number % max(messages // 10, 1) == max(messages // 10, 1) - 1:
                run.rss_mib.append(resident_mib("self"))
        await sending
        await _all_used(network, run.ledger)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        run.heard_far = sum(heard.text.startswith("ours ") for heard in network.mesh["RDGE"].heard)
    return run


def _say(network: Air, ledger: Ledger, number: int, words: str) -> None:
    ledger.texts[FIRST_ID + number] = words
    network.mesh.inject(
        packet_of(text_data(words), sender=FAR_NODES[number % 3].number, to=BROADCAST, id=FIRST_ID + number)
    )


async def _room(network: Air) -> None:
    await asyncio.sleep(EVERY_S)
    async with asyncio.timeout(LAST_WITHIN_S):
        while network.port.firmware.buffered >= ROOM:
            await asyncio.sleep(EVERY_S)


async def _pull_out(network: Air, run: Soak, chance: random.Random) -> None:
    await asyncio.sleep(chance.random() * 0.2)
    run.ledger.pulled_out()
    network.port.unplug()
    run.cuts += 1
    await asyncio.sleep(chance.random() * 0.3)
    network.port.plug()


async def _listen(bridge: MeshtasticBridge, run: Soak) -> None:
    """Do what the core does: take what comes, and connect again."""
    while True:
        try:
            async with bridge:
                run.connected += 1
                async with aclosing(bridge.receive()) as source:
                    async for item in source:
                        if isinstance(item, Message):
                            run.ledger.heard(item)
        except BridgeError as error:
            run.lost[str(error).partition(": ")[2] or str(error)] += 1
        await asyncio.sleep(0.05)


async def _send(bridge: MeshtasticBridge, run: Soak, ours: int) -> None:
    for number in range(ours):
        run.sent[await _sent(bridge, number)] += 1


async def _sent(bridge: MeshtasticBridge, number: int) -> str:
    async with asyncio.timeout(LAST_WITHIN_S):
        while True:
            try:
                receipt = await bridge.send(said(f"ours {number}"), LONG_FAST, key=f"soak-{number}")
            except TransientError:
                # Again under the same key, as the core does.
                await asyncio.sleep(AGAIN_S)
            except BridgeError as error:
                return type(error).__name__
            else:
                return receipt.certainty.value


async def _all_used(network: Air, ledger: Ledger) -> None:
    """Wait for what is under way; what is still missing then is."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_WITHIN_S):
            while network.port.firmware.buffered or ledger.missing:
                await asyncio.sleep(0.05)
