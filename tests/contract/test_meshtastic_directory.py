# SPDX-License-Identifier: GPL-3.0-or-later
"""The node directory on disk: it outlives restarts, kills, damage and full disks, and none of them stops the radio."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import structlog
from meshtastic.protobuf.mesh_pb2 import FromRadio, MeshPacket, User
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic.keeping import SAVE_EVERY_S, KeptNodes
from bridges.meshtastic.nodes import NodeBook
from bridges.meshtastic.nodestore import FILE, DamagedError, NodeStore
from gateway.clock import ManualClock
from gateway.model import LinkDown, Message
from tests.contract.harness import Reader
from tests.contract.harness_meshtastic import LONG_FAST, MARKET, air, bridge_on, said

RIDGE = 0xA1B2C301
STRANGER = 0x00C0FFEE
CHILD = Path(__file__).with_name("nodes_writer_child.py")


def told(number: int, name: str) -> MeshPacket:
    packet = MeshPacket(to=0xFFFFFFFF, id=7, hop_start=3, hop_limit=3, rx_snr=5.0)
    packet.decoded.portnum = PortNum.NODEINFO_APP
    packet.decoded.payload = User(long_name=name).SerializeToString()
    setattr(packet, "from", number)
    return packet


class Kept:
    """A directory with its file, on a clock that a test moves."""

    def __init__(self, folder: Path, *, clock: ManualClock | None = None, keeps_places: bool = False) -> None:
        self.file = folder / FILE
        self.clock = clock or ManualClock()
        self.counts: Counter[str] = Counter()
        self.book = NodeBook(self.clock, keeps_places=keeps_places, count=self._count)
        self.kept = KeptNodes(self.book, folder, clock=self.clock, count=self._count, bridge="radio")

    def _count(self, kind: str) -> None:
        self.counts.update([kind])

    def hear(self, number: int, name: str) -> None:
        self.book.hear(told(number, name))

    def names_on_disk(self) -> list[str]:
        return sorted(str(json.loads(entry).get("name")) for _, entry in NodeStore(self.file).load())


# With a radio.


async def test_after_a_restart_the_first_packet_has_its_senders_name_and_all_are_there(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge):
            network.port.push(FromRadio(packet=told(STRANGER, "Wanderer")))
            async with asyncio.timeout(10):
                while not any(node.name == "Wanderer" for node in bridge.nodes()):
                    await asyncio.sleep(0.01)
            before = bridge.nodes()
        # The radio itself never heard of it.
        again = bridge_on(network, tmp_path)
        async with again, Reader(again) as reader:
            spoken = told(STRANGER, "")
            spoken.id = 8
            spoken.decoded.portnum, spoken.decoded.payload = PortNum.TEXT_MESSAGE_APP, b"here again"
            network.port.push(FromRadio(packet=spoken))
            await reader.until(lambda r: r.messages)
            after = again.nodes()

    (message,) = reader.messages
    assert isinstance(message, Message)
    assert (message.sender.id, message.sender.name) == ("!00c0ffee", "Wanderer")
    assert {node.id: node.name for node in after} == {node.id: node.name for node in before}


async def test_the_directory_is_there_before_the_radio_is(tmp_path: Path):
    kept = Kept(tmp_path)
    kept.hear(RIDGE, "Ridge relay")
    await kept.kept.save()
    async with air(tmp_path) as network:
        network.port.unplug()
        bridge = bridge_on(network, tmp_path)
        with pytest.raises(LinkDown):
            await bridge.__aenter__()

    assert [node.name for node in bridge.nodes()] == ["Ridge relay"]


async def test_a_link_that_flaps_writes_no_more_than_a_steady_one(tmp_path: Path):
    async with air(tmp_path, scale=2.0) as network:
        bridge = bridge_on(network, tmp_path, scale=2.0)
        for _ in range(3):
            with pytest.raises(LinkDown):
                async with bridge, Reader(bridge):
                    raise LinkDown("pulled")
        flapped = (tmp_path / FILE).exists()
        async with bridge:
            pass

    assert not flapped
    assert (tmp_path / FILE).exists()


async def test_whoever_was_written_to_is_remembered_as_spoken_with(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge):
            await bridge.send(said("psst"), MARKET, key="d1.0")
    rows = {number: json.loads(entry) for number, entry in NodeStore(tmp_path / FILE).load()}

    assert [number for number, row in rows.items() if "spoken_ms" in row] == [0xA1B2C302]


async def test_positions_switched_off_are_gone_from_the_disk_at_the_next_start(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path, positions="keep")
        async with bridge, Reader(bridge) as reader:
            network.mesh["RDGE"].place.tell()
            network.mesh["RDGE"].say("after")
            await reader.until(lambda r: r.messages)
            places = {str(node.place) for node in bridge.nodes() if node.id == "!a1b2c301"}
        with_places = (tmp_path / FILE).read_bytes()
        off = bridge_on(network, tmp_path)
        async with off:
            left = [node.place for node in off.nodes() if node.place]

    assert places == {"geo 47.07000,8.33000"}
    assert reader.bodies == ["after"], "kept, and not passed on"
    assert b'"place"' in with_places
    assert (left, b'"place"' in (tmp_path / FILE).read_bytes()) == ([], False)


async def test_an_answer_reaches_the_packet_it_answers_whatever_its_sender_is_called_by_then(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            number = network.mesh["RDGE"].say("anybody there?")
            await reader.until(lambda r: r.messages)
            network.port.push(FromRadio(packet=told(RIDGE, "Summit cross")))
            network.port.push(FromRadio(packet=told(STRANGER, "Ridge relay")))
            async with asyncio.timeout(10):
                while len({node.name for node in bridge.nodes()} & {"Summit cross", "Ridge relay"}) < 2:
                    await asyncio.sleep(0.01)
            await bridge.send(said("yes", reply_to=reader.messages[0].remote_id), LONG_FAST, key="d1.0")
            heard = await network.mesh["RDGE"].wait_text("yes")

    assert reader.messages[0].sender.name == "Ridge relay"
    assert heard.reply_id == number


# The file.


async def test_nobody_else_may_read_it_and_nothing_that_was_said_is_in_it(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            network.mesh["RDGE"].say("meet me behind the mill")
            await reader.until(lambda r: r.messages)

    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert b"mill" not in (tmp_path / FILE).read_bytes()


async def test_it_is_written_only_so_often_and_only_what_changed(tmp_path: Path):
    kept = Kept(tmp_path)
    keeping = asyncio.create_task(kept.kept.keep())
    try:
        for turn in range(1, 4):
            kept.hear(turn, f"node {turn}")
            await asyncio.sleep(0)
            kept.clock.advance(SAVE_EVERY_S / 2)
            await _settle(kept)
            early = kept.names_on_disk()
            kept.clock.advance(SAVE_EVERY_S / 2)
            async with asyncio.timeout(10):
                while len(kept.names_on_disk()) < turn:
                    await asyncio.sleep(0.01)
            assert len(early) == turn - 1
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def _settle(kept: Kept) -> None:
    for _ in range(5):
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        while kept.kept._saving.locked():
            await asyncio.sleep(0.01)


def garbage(file: Path) -> None:
    file.write_bytes(b"\x00garbage" * 1000)


def flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[4096:4196] = b"\xff" * 100  # the head of a page of the table
    file.write_bytes(data)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5000])


def miscounted(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[36:40] = (7).to_bytes(4, "big")  # free pages, where there are none: whoever only reads doesn't notice
    file.write_bytes(data)


def of_another_version(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


def of_another_make(file: Path) -> None:
    file.unlink()
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE nodes (x)")
    database.close()


@pytest.mark.parametrize("damage", [garbage, flipped, cut, miscounted, of_another_version, of_another_make])
async def test_a_damaged_file_is_set_aside_and_the_directory_begins_anew(tmp_path: Path, damage):
    before = Kept(tmp_path)
    for number in range(1, 200):
        before.hear(number, f"node {number}")
    await before.kept.save()
    damage(tmp_path / FILE)
    after = Kept(tmp_path)
    await after.kept.load()
    after.hear(1, "Kim")
    await after.kept.save()

    assert after.counts == {"node_directory_damaged": 1}
    assert (tmp_path / f"{FILE}.damaged").exists()
    assert after.names_on_disk() == ["Kim"]


async def test_a_file_that_is_damaged_while_it_runs_is_begun_anew_with_all_that_is_known(tmp_path: Path):
    kept = Kept(tmp_path)
    kept.hear(1, "Kim")
    await kept.kept.save()
    garbage(tmp_path / FILE)
    kept.hear(2, "Lee")
    await kept.kept.save()
    await kept.kept.save()

    assert kept.counts == {"node_directory_damaged": 1}
    assert kept.names_on_disk() == ["Kim", "Lee"]


async def test_a_disk_that_takes_nothing_is_counted_and_what_changed_is_written_when_it_does(tmp_path: Path):
    kept = Kept(tmp_path)
    (tmp_path / FILE).mkdir()  # root may write to whatever is read-only
    await kept.kept.load()
    kept.hear(1, "Kim")
    await kept.kept.save()
    (tmp_path / FILE).rmdir()
    await kept.kept.save()

    assert kept.counts == {"node_directory_unread": 1, "node_directory_unsaved": 1}
    assert kept.names_on_disk() == ["Kim"]


async def test_the_same_trouble_is_logged_once_however_often_a_radio_is_looked_for(tmp_path: Path):
    kept = Kept(tmp_path)
    (tmp_path / FILE).mkdir()
    with structlog.testing.capture_logs() as logged:
        for _ in range(5):
            await kept.kept.load()

    assert kept.counts == {"node_directory_unread": 5}
    assert [line["event"] for line in logged] == ["node_directory_unread"]


async def test_rows_past_the_bound_are_deleted_so_that_the_file_has_one_too(tmp_path: Path):
    kept = Kept(tmp_path)
    for number in range(1, 3101):
        kept.hear(number, f"node {number}")
    await kept.kept.save()

    assert 2900 < len(kept.names_on_disk()) <= 3000
    assert (tmp_path / FILE).stat().st_size < 2 * 1024 * 1024


def test_a_process_that_is_killed_while_it_writes_leaves_all_of_one_write_and_nothing_of_the_next(tmp_path: Path):
    seed = random.randrange(2**32)
    print("seed", seed)
    dice = random.Random(seed)
    file = tmp_path / FILE
    for _ in range(6):
        child = subprocess.Popen([sys.executable, CHILD, file], stdout=subprocess.PIPE, env={**os.environ})
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(dice.uniform(0.0, 0.2))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        rows = NodeStore(file).load()
        assert len(rows) == 399
        assert len({entry for _, entry in rows}) == 1


def test_a_damaged_file_replaces_the_one_that_was_set_aside_before(tmp_path: Path):
    store = NodeStore(tmp_path / FILE)
    for words in ("one", "two"):
        (tmp_path / FILE).write_text(words * 99)
        with pytest.raises(DamagedError):
            store.load()
        store.set_aside()

    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{FILE}.damaged"]
    assert (tmp_path / f"{FILE}.damaged").read_text().startswith("two")
