# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports, wires and the mesh in an event loop, against a client of a few lines."""

from __future__ import annotations

import asyncio
import os
import random

import pytest
from meshtastic.protobuf.mesh_pb2 import Data, FromRadio, Heartbeat, MeshPacket, ToRadio

from bridges.sim import BROADCAST, Faults, Hang, PtyPort, SimMesh, TcpPort, swap
from bridges.sim.framing import Deframer, frame
from bridges.sim.packets import packet_of, sender_of, text_data

FAST = 20.0
OWN = 0xA1B2C300


class Serial:
    """A client that opens a path, and reads whatever comes."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self.frames = Deframer()
        self.raw = b""
        self.records: list[FromRadio] = []
        self.changed = asyncio.Event()
        self.hung_up = False
        asyncio.get_running_loop().add_reader(self.fd, self._read)

    def _read(self):
        try:
            data = os.read(self.fd, 4096)
        except OSError:
            data = b""
        if not data:
            self.hung_up = True
            asyncio.get_running_loop().remove_reader(self.fd)
        self.raw += data
        for payload in self.frames.feed(data):
            self.records.append(FromRadio.FromString(payload))
        self.changed.set()

    def ask(self, **request):
        os.write(self.fd, b"\xc3" * 32 + frame(ToRadio(**request).SerializeToString()))

    def say(self, text, id):
        self.ask(packet=packet_of(text_data(text), sender=OWN, to=BROADCAST, id=id, want_ack=True))

    async def until(self, predicate, timeout_s=5.0):
        async with asyncio.timeout(timeout_s):
            while not predicate(self):
                self.changed.clear()
                await self.changed.wait()

    async def connect(self):
        self.ask(want_config_id=7)
        await self.until(lambda c: any(r.config_complete_id == 7 for r in c.records))
        return self

    def texts(self):
        return [r.packet.decoded.payload.decode() for r in self.records if r.packet.decoded.portnum == 1]

    def close(self):
        if not self.hung_up:
            asyncio.get_running_loop().remove_reader(self.fd)
        os.close(self.fd)


@pytest.fixture
async def mesh():
    async with SimMesh(time_scale=FAST, seed=1) as mesh:
        yield mesh


@pytest.fixture
async def port(mesh, tmp_path):
    async with PtyPort(mesh, tmp_path / "radio") as port:
        yield port


@pytest.fixture
async def client(port):
    client = Serial(port.path)
    yield await client.connect()
    client.close()


async def test_a_clients_text_is_heard_by_all_far_nodes_and_theirs_by_the_client(mesh, client):
    client.say("to the mesh", id=5)

    for name in ("RDGE", "MRKT", "RIVR"):
        heard = await mesh[name].wait_text("to the mesh")
        assert (heard.sender, heard.id) == (OWN, 5)

    reply = mesh["Market square"].say("from the mesh", reply_id=5)
    await client.until(lambda c: c.texts() == ["from the mesh"])
    assert (client.records[-1].packet.id, client.records[-1].packet.decoded.reply_id) == (reply, 5)


async def test_an_unplug_hangs_up_and_a_plug_brings_another_port_under_the_same_path(mesh, port, client):
    before = port.path.readlink()
    keep_number_taken = os.open(before, os.O_RDWR | os.O_NOCTTY)
    port.unplug()
    await client.until(lambda c: c.hung_up)
    assert not port.path.is_symlink()

    mesh["RDGE"].say("while unplugged")
    await mesh["HILL"].wait_text("while unplugged")
    port.plug()
    again = await Serial(port.path).connect()

    await again.until(lambda c: c.texts() == ["while unplugged"])
    assert port.path.readlink() != before
    again.close()
    os.close(keep_number_taken)


async def test_a_closed_port_makes_the_node_keep_what_comes(mesh, port):
    first = await Serial(port.path).connect()
    first.close()
    await port.wait_client(present=False)
    mesh["RDGE"].say("kept")
    await mesh["HILL"].wait_text("kept")

    second = await Serial(port.path).connect()
    await second.until(lambda c: c.texts() == ["kept"])
    second.close()


async def test_a_board_that_does_not_notice_a_close_talks_to_nobody(mesh, tmp_path):
    async with PtyPort(mesh, tmp_path / "radio", notices_close=False) as port:
        first = await Serial(port.path).connect()
        first.close()
        await port.wait_client(present=False)
        mesh["RDGE"].say("said to nobody")
        await mesh["HILL"].wait_text("said to nobody")

        second = await Serial(port.path).connect()
        assert second.texts() == []
        second.close()


async def test_what_a_client_left_unread_does_not_meet_the_next_one(mesh, port):
    first = await Serial(port.path).connect()
    asyncio.get_running_loop().remove_reader(first.fd)
    mesh["RDGE"].say("unread")
    await mesh["HILL"].wait_text("unread")
    os.close(first.fd)
    await port.wait_client(present=False)

    second = await Serial(port.path).connect()
    assert second.texts() == []
    second.close()


async def test_a_client_that_does_not_read_blocks_nobody(mesh, port, client):
    asyncio.get_running_loop().remove_reader(client.fd)
    for number in range(1000):  # 230 KiB: more than the 64 KiB a kernel may hold of a PTY while it is busy
        mesh.inject(packet_of(text_data("x" * 200), sender=0xA1B2C301, to=BROADCAST, id=number + 1))

    client.say("still heard", id=5)
    await mesh["RIVR"].wait_text("still heard")
    # As the kernel finds room, some of what the node kept goes on: how many just now is the kernel's to say.
    assert port.firmware.buffered <= mesh.settings.buffered
    assert port.firmware.counts["overflow"] > 0
    client.hung_up = True


async def test_a_cut_frame_is_followed_by_whole_ones(port, client):
    port.cut_next_frame(9)
    client.ask(heartbeat=Heartbeat())
    await asyncio.sleep(0.05)
    client.frames.clear()
    client.ask(heartbeat=Heartbeat())
    before = len(client.records)

    await client.until(lambda c: len(c.records) > before)


async def test_an_unplug_in_the_middle_of_a_frame_leaves_its_beginning(port, client):
    length = len(client.raw)
    port.cut_next_frame(5, unplug=True)
    client.ask(heartbeat=Heartbeat())
    await client.until(lambda c: c.hung_up)

    assert len(client.raw) == length + 5
    assert not port.is_plugged


async def test_noise_reaches_the_client_as_it_is(port, client):
    port.noise(b"noise \x94\xc3\xff\xff")
    await client.until(lambda c: c.raw.endswith(b"noise \x94\xc3\xff\xff"))


async def test_a_slow_line_takes_its_time_and_loses_nothing(mesh, port, client):
    loop = asyncio.get_running_loop()
    port.faults.bytes_per_s = 2000
    started = loop.time()
    mesh.inject(packet_of(text_data("x" * 200), sender=0xA1B2C301, to=BROADCAST, id=1))
    await client.until(lambda c: c.texts() == ["x" * 200])

    assert loop.time() - started > 0.1


async def test_a_slow_line_takes_its_time_for_short_frames_too(mesh, port, client):
    loop = asyncio.get_running_loop()
    # Each frame is shorter than what goes out at once.
    port.faults.bytes_per_s = 4000
    came, started = len(client.raw), loop.time()
    for number in range(10):
        mesh.inject(packet_of(text_data(f"short {number}"), sender=0xA1B2C301, to=BROADCAST, id=1 + number))
    await client.until(lambda c: len(c.texts()) == 10)

    # The last one has gone out whole before the line is busy with it.
    assert loop.time() - started >= (len(client.raw) - came) * 0.9 / 4000


async def test_a_line_that_stands_still_in_a_frame_loses_nothing_and_keeps_the_order(mesh, port, client):
    loop = asyncio.get_running_loop()
    port.faults.stall_frame, port.faults.stall_s = 1.0, 0.2
    started = loop.time()
    for number in range(5):
        mesh.inject(packet_of(text_data(f"text {number}"), sender=0xA1B2C301, to=BROADCAST, id=1 + number))
    await client.until(lambda c: len(c.texts()) == 5)

    assert client.texts() == [f"text {number}" for number in range(5)]
    assert loop.time() - started >= 0.2


def test_who_watches_a_bad_line_sees_what_it_makes_of_each_frame():
    seen: list[tuple[bytes, bytes]] = []
    faults, chance = Faults(watch=lambda frame, made: seen.append((frame, made))), random.Random(1)
    said = bytes(range(100))
    faults.spoil(said, chance)
    faults.cut_frame = 1.0
    faults.spoil(said, chance)
    faults.cut_frame, faults.repeat_byte = 0.0, 1.0
    faults.spoil(said, chance)

    assert [frame for frame, _ in seen] == [said] * 3
    whole, cut, stammered = (made for _, made in seen)
    assert whole == said
    assert said.startswith(cut)
    assert len(cut) < len(said)
    assert (stammered[::2], stammered[1::2]) == (said, said)


async def test_a_delayed_line_is_late(mesh, port, client):
    loop = asyncio.get_running_loop()
    port.faults.delay_s = 0.2
    started = loop.time()
    mesh.inject(packet_of(text_data("late"), sender=0xA1B2C301, to=BROADCAST, id=1))
    await client.until(lambda c: c.texts() == ["late"])

    assert loop.time() - started >= 0.19


async def test_a_duplicating_line_says_it_twice_and_a_losing_one_not_at_all(mesh, port, client):
    port.faults.duplicate_frame = 1.0
    mesh.inject(packet_of(text_data("twice"), sender=0xA1B2C301, to=BROADCAST, id=1))
    await client.until(lambda c: c.texts() == ["twice", "twice"])

    port.faults.duplicate_frame, port.faults.lose_frame = 0.0, 1.0
    mesh.inject(packet_of(text_data("lost"), sender=0xA1B2C301, to=BROADCAST, id=2))
    port.faults.lose_frame = 0.0
    mesh.inject(packet_of(text_data("after"), sender=0xA1B2C301, to=BROADCAST, id=3))
    await client.until(lambda c: c.texts() == ["twice", "twice", "after"])


async def test_a_reboot_is_announced_behind_debug_text(port, client):
    port.reboot()
    await client.until(lambda c: any(r.rebooted for r in c.records))

    assert b"INFO" in client.raw


async def test_a_second_tcp_client_displaces_the_first(mesh):
    async with TcpPort(mesh) as port:
        first_reader, first = await asyncio.open_connection("127.0.0.1", port.port)
        _, second = await asyncio.open_connection("127.0.0.1", port.port)

        assert await first_reader.read() == b""
        first.close()
        second.close()


async def test_a_replayed_packet_comes_in_again_with_its_own_id(mesh, client):
    number = mesh["RDGE"].say("again and again")
    await client.until(lambda c: len(c.texts()) == 1)
    mesh.replay("RDGE", number)
    await client.until(lambda c: len(c.texts()) == 2)

    packets = [r.packet for r in client.records if r.packet.decoded.portnum == 1]
    assert {(sender_of(p), p.id) for p in packets} == {(0xA1B2C301, number)}


async def test_odd_packets_reach_the_client_as_they_are(mesh, client):
    mesh.knows_time = False
    mesh["RDGE"].say(b"\xff\xfe not utf-8", id=1)
    mesh["RDGE"].say("", id=2)
    mesh["RDGE"].send(Data(portnum=399, payload=b"?"), id=3)
    mesh.inject(MeshPacket(id=4, to=BROADCAST, encrypted=b"sealed"))
    ids = {1, 2, 3, 4}
    await client.until(lambda c: {r.packet.id for r in c.records if r.HasField("packet")} >= ids)

    packets = {r.packet.id: r.packet for r in client.records if r.HasField("packet")}
    assert packets[1].decoded.payload == b"\xff\xfe not utf-8"
    assert packets[4].encrypted == b"sealed"
    assert {packets[i].rx_time for i in ids} == {0}


async def test_an_isolated_gateway_reaches_nobody_until_it_rejoins(mesh, client):
    mesh.isolate("HILL")
    client.say("nobody hears this at first", id=1)
    with pytest.raises(TimeoutError):
        await mesh["RDGE"].wait_text("nobody hears this at first", timeout_s=0.2)

    mesh.rejoin("HILL")
    await mesh["RDGE"].wait_text("nobody hears this at first")


async def test_a_far_node_learns_that_its_direct_message_arrived(mesh, client):
    number = mesh["RDGE"].say("psst", to=OWN)
    await client.until(lambda c: c.texts() == ["psst"])
    mesh["HILL"].say("later than the acknowledgement")
    await mesh["RDGE"].wait_text("later than the acknowledgement")

    assert mesh["RDGE"].outcomes[number] == [(OWN, 0)]


async def test_two_boards_trade_places(mesh, port, tmp_path):
    async with PtyPort(mesh, tmp_path / "other", node="RDGE") as other:
        before = port.path
        swap(port, other)
        client = await Serial(before).connect()

        assert {r.my_info.my_node_num for r in client.records if r.HasField("my_info")} == {0xA1B2C301}
        client.close()


async def test_a_board_whose_power_is_cut_is_gone_and_comes_back_by_itself(mesh, port, client):
    port.power_cycle()
    await client.until(lambda c: c.hung_up)
    assert not port.is_plugged
    async with asyncio.timeout(5):
        while not port.is_plugged:
            await asyncio.sleep(0.01)
    again = await Serial(port.path).connect()
    again.close()


async def test_a_deaf_board_answers_nothing_until_it_is_restarted(mesh, port, client):
    port.firmware.hang = Hang.DEAF
    client.say("into a wall", id=5)
    again = Serial(port.path)
    again.ask(want_config_id=9)
    await asyncio.sleep(0.2)
    assert (again.records, list(mesh["RIVR"].heard)) == ([], [])

    port.reboot()
    await asyncio.sleep(2 * mesh.settings.boot_s / mesh.time_scale)
    again.ask(want_config_id=9)
    await again.until(lambda c: any(r.config_complete_id == 9 for r in c.records))
    again.close()


async def test_a_board_without_statuses_sends_and_answers_heartbeats(mesh, port, client):
    port.firmware.hang = Hang.NO_STATUS
    client.say("sent all the same", id=5)
    await mesh["RIVR"].wait_text("sent all the same")
    assert not [r for r in client.records if r.HasField("queueStatus")]
    client.ask(heartbeat=Heartbeat())
    await client.until(lambda c: [r for r in c.records if r.HasField("queueStatus")])


async def test_a_half_open_connection_says_nothing_and_another_takes_its_place(mesh):
    async with TcpPort(mesh) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        await port.wait_client()
        port.lose_peer()
        writer.write(frame(ToRadio(want_config_id=7).SerializeToString()))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        assert not port.has_client
        _, another = await asyncio.open_connection("127.0.0.1", port.port)
        await port.wait_client()
        writer.close()
        another.close()
