# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames decoded a second, from bytes to stored messages, and what eight radios that never fall silent cost.

The bytes are put where a serial port's are, into bridges that have greeted their radios: what is measured is the
gateway, whole, with its journal and its queue, and no kernel's line discipline.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

from meshtastic.protobuf.mesh_pb2 import Data, FromRadio, NodeInfo, User
from meshtastic.protobuf.portnums_pb2 import PortNum
from meshtastic.protobuf.telemetry_pb2 import Telemetry

from bridges import meshtastic
from bridges.meshtastic.convert import Ear, to_message
from bridges.meshtastic.framing import Deframer
from bridges.meshtastic.session import Arrived, Session, is_plain, parse
from bridges.meshtastic.station import Station
from bridges.sim.airtime import PRESETS, airtime_s
from bridges.sim.framing import frame
from bridges.sim.identity import BROADCAST, GATEWAY
from bridges.sim.packets import packet_of, position_data, text_data
from gateway.model import BridgeKind, BridgeName
from gateway.registry import Registry
from tests.bench import pipeline, running
from tests.radio_line import RadioLine

FRAMES = 20_000
READ_BYTES = 1024
"""As much as comes off a serial line at once."""
NODES = 100
RADIOS = 8
TEXT_BYTES = 20
EVERY_S = airtime_s(PRESETS["SHORT_TURBO"], TEXT_BYTES)
"""A channel that is never silent carries one short text after the other, on the fastest preset."""
LOADED_S = 10.0
SETTLE_S = 2.0

CONFIG = """
[gateway]
name = "bench"
data_dir = "data"
[bridges.far]
kind = "instant"
""" + "".join(
    f'[bridges.radio{n}]\nkind = "meshtastic"\nconnection = "serial:/dev/radio{n}"\n'
    f'[[routes]]\nname = "r{n}"\nfrom = ["radio{n}/LongFast"]\nto = ["far/room{n}"]\n'
    for n in range(RADIOS)
)


def said(number: int, chance: random.Random, *, kind: str) -> bytes:
    """Return the frame of one packet of one of many nodes."""
    data = {
        "text": lambda: text_data(f"{number:0{TEXT_BYTES}}"),
        "position": lambda: position_data(47.05, 8.30, altitude_m=600),
        "telemetry": lambda: _telemetry(chance),
        "node": lambda: _introduction(chance),
    }[kind]()
    sender = 0xB0000000 + chance.randrange(NODES)
    packet = packet_of(data, sender=sender, to=BROADCAST, id=number + 1)
    packet.rx_time, packet.rx_snr, packet.rx_rssi = 1_790_000_000, 6.25, -87
    return frame(FromRadio(id=number & 0xFFFF, packet=packet).SerializeToString())


def _telemetry(chance: random.Random) -> Data:
    report = Telemetry(time=1_790_000_000)
    report.device_metrics.battery_level = chance.randrange(100)
    report.device_metrics.voltage = 4.1
    return Data(portnum=PortNum.TELEMETRY_APP, payload=report.SerializeToString())


def _introduction(chance: random.Random) -> Data:
    user = User(id="!b0000000", long_name="Some node on a hill", short_name="HILL", public_key=chance.randbytes(32))
    return Data(portnum=PortNum.NODEINFO_APP, payload=user.SerializeToString())


async def decoded(_folder: Path) -> dict[str, float]:
    """Frames a second from the line's bytes to messages: half are texts, half what else nodes say."""
    chance = random.Random(1)
    kinds = ["text"] * 3 + ["position", "telemetry", "node"]
    data = b"".join(said(number, chance, kind=chance.choice(kinds)) for number in range(FRAMES))
    station = Station()
    session = _greeted(station, chance)
    ear = Ear(
        bridge=BridgeName("radio"),
        own=GATEWAY.number,
        channels=station.channels,
        routed=("LongFast",),
        name_of=lambda _: "Some node on a hill",
        count=lambda _: None,
    )
    deframer = Deframer(parse, lambda _: None, is_plain=is_plain)
    heard = messages = 0
    began = time.perf_counter()
    for at in range(0, len(data), READ_BYTES):
        for record in deframer.feed(data[at : at + READ_BYTES]):
            for event in session.take(record, 1.0):
                assert isinstance(event, Arrived)
                heard += 1
                messages += to_message(event.packet, ear, 1_790_000_000_000) is not None
    took_s = time.perf_counter() - began
    assert heard == FRAMES
    assert 0.4 * FRAMES < messages < 0.6 * FRAMES
    return {"frames_per_s": FRAMES / took_s}


def _greeted(station: Station, chance: random.Random) -> Session:
    session = Session(station=station, random=chance, count=lambda _: None, now=0.0)
    nonce = session.outgoing()[0].want_config_id
    record = FromRadio()
    record.my_info.my_node_num = GATEWAY.number
    session.take(record, 0.0)
    for index in range(8):
        record = FromRadio()
        record.channel.index = index
        session.take(record, 0.0)
    record = FromRadio()
    record.config.lora.use_preset = True
    session.take(record, 0.0)
    session.take(FromRadio(node_info=NodeInfo(num=GATEWAY.number)), 0.0)
    session.take(FromRadio(config_complete_id=nonce), 0.0)
    return session


@asynccontextmanager
async def _radios(folder: Path) -> AsyncIterator[tuple[Sequence[RadioLine], pipeline.RedisOutbox]]:
    """A gateway between eight radios and a network that takes everything at once."""
    owns = [replace(GATEWAY, number=GATEWAY.number + 0x100 * n) for n in range(RADIOS)]
    lines = {f"/dev/radio{n}": RadioLine(f"/dev/radio{n}", own) for n, own in enumerate(owns)}
    registry = Registry(
        {
            "instant": lambda: BridgeKind(create=pipeline.InstantBridge, check=lambda _: frozenset()),
            "meshtastic": lambda: meshtastic.kind,
        }
    )
    with mock.patch("bridges.meshtastic.finding.open_serial", lines.__getitem__):
        async with pipeline.core(folder, CONFIG, registry, outbox_type=pipeline.CountingOutbox) as (_, _, outbox):
            while not all(line.is_greeted for line in lines.values()):
                await asyncio.sleep(0.05)
            await asyncio.sleep(SETTLE_S)
            yield list(lines.values()), outbox


async def _talk(line: RadioLine, first: int, until: float) -> int:
    """Say one text after the other, as they come off a channel that is never silent."""
    chance, number, due = random.Random(first), 0, time.perf_counter()
    while due < until:
        line.say(said(first + number, chance, kind="text"))
        number += 1
        due += EVERY_S
        await asyncio.sleep(due - time.perf_counter())
    return number


async def eight_radios(folder: Path) -> dict[str, float]:
    """Percent of one core that gateway and queue use, together, while eight radios hear texts without a pause."""
    async with _radios(folder) as (lines, outbox):
        processes = [os.getpid(), *running._children(os.getpid())]
        before, began = sum(map(running._cpu_s, processes)), time.perf_counter()
        until = began + LOADED_S
        numbers = await asyncio.gather(*(_talk(line, 10_000_000 * (at + 1), until) for at, line in enumerate(lines)))
        await outbox.settled_up_to(sum(numbers))
        used = sum(map(running._cpu_s, processes)) - before
        took_s = time.perf_counter() - began
    assert sum(numbers) >= RADIOS * math.floor(LOADED_S / EVERY_S)
    return {"radios8_cpu_percent": 100 * used / took_s, "radios8_per_s": sum(numbers) / took_s}
