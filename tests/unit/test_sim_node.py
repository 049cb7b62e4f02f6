# SPDX-License-Identifier: GPL-3.0-or-later
"""The firmware model, by time argument: every fact of the reference a client can meet."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from meshtastic.protobuf.mesh_pb2 import Data, FromRadio, Heartbeat, MeshPacket, Routing, ToRadio
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.sim.agenda import Agenda
from bridges.sim.air import Air
from bridges.sim.airtime import PRESETS
from bridges.sim.identity import BROADCAST, FAR_NODES, GATEWAY, Settings
from bridges.sim.node import Firmware
from bridges.sim.packets import packet_of, routing_error, sender_of, set_sender, text_data
from bridges.sim.radio import Radio

OWN, RIDGE, MARKET, RIVER = (identity.number for identity in (GATEWAY, *FAR_NODES))


class Client:
    """A line that keeps what the node says until it is read."""

    def __init__(self, world, *, keeps_ids=True):
        self.world = world
        self.keeps_ids = keeps_ids
        self.dropped = False
        self.said = b""
        world.node.attach(self)

    def wake(self):
        pass

    def drop(self):
        self.dropped = True

    def chatter(self, text):
        self.said += text

    def ask(self, **request):
        self.world.node.receive(self, ToRadio(**request).SerializeToString(), self.world.now)

    def read(self):
        records = []
        while (payload := self.world.node.pull(self)) is not None:
            records.append(FromRadio.FromString(payload))
        return records

    def connect(self, nonce=7):
        self.ask(want_config_id=nonce)
        return self.read()

    def text(self, text, *, id, to=BROADCAST, sender=OWN, want_ack=True, **fields):
        packet = MeshPacket(to=to, id=id, hop_limit=3, want_ack=want_ack)
        packet.decoded.CopyFrom(text_data(text, **fields))
        set_sender(packet, sender)
        self.ask(packet=packet)


class World:
    """One gateway node and three far ones, with the time in the test's hand."""

    def __init__(self, **settings):
        self.now = 0.0
        self.settings = replace(Settings(), **settings)
        self.agenda = Agenda()
        chance = random.Random(1)
        self.air = Air(self.agenda, PRESETS[self.settings.preset], chance)
        self.radios = {i.number: Radio(i, self.air, self.agenda, chance) for i in (GATEWAY, *FAR_NODES)}
        self.node = Firmware(
            self.radios[OWN], self.agenda, self.settings, directory=lambda: FAR_NODES, clock=lambda now: 1000 + int(now)
        )

    def advance(self, seconds):
        self.now += seconds
        self.agenda.advance(self.now)

    def cut_off(self, number):
        for other in self.radios:
            self.air.set_loss(number, other, 1.0)
            self.air.set_loss(other, number, 1.0)

    def say(self, sender, text, *, id, **fields):
        packet = packet_of(text_data(text), sender=sender, to=fields.pop("to", BROADCAST), id=id, **fields)
        self.radios[sender].send(packet, self.now)


@pytest.fixture
def world():
    return World()


@pytest.fixture
def client(world):
    client = Client(world)
    client.connect()
    return client


def statuses(records):
    return [(r.queueStatus.res, r.queueStatus.mesh_packet_id) for r in records if r.HasField("queueStatus")]


def answers(records):
    return [
        (sender_of(r.packet), r.packet.decoded.request_id, routing_error(r.packet))
        for r in records
        if r.HasField("packet") and routing_error(r.packet) is not None
    ]


def texts(records):
    return [r.packet.decoded.payload for r in records if r.HasField("packet") and r.packet.decoded.portnum == 1]


def kinds(records):
    return [record.WhichOneof("payload_variant") for record in records]


class TestHandshake:
    def test_everything_comes_in_the_firmwares_order_and_ends_with_the_nonce(self, world):
        records = Client(world).connect(nonce=123)

        assert kinds(records)[:4] == ["my_info", "deviceuiConfig", "node_info", "metadata"]
        assert kinds(records)[4:12] == ["channel"] * 8
        assert kinds(records)[-4:] == ["node_info"] * 3 + ["config_complete_id"]
        assert records[0].my_info.my_node_num == records[2].node_info.num == OWN
        assert records[-1].config_complete_id == 123
        assert [r.channel.settings.name for r in records[4:7]] == ["", "Town", ""]

    def test_one_nonce_leaves_the_other_nodes_out_and_one_brings_nodes_only(self, world):
        client = Client(world)

        assert kinds(client.connect(nonce=69420)).count("node_info") == 1
        assert kinds(client.connect(nonce=69421)) == ["node_info"] * 4 + ["config_complete_id"]

    def test_nothing_is_said_before_the_client_asks(self, world):
        client = Client(world)
        world.say(RIDGE, "early", id=1)
        world.advance(5)

        assert client.read() == []

    def test_what_came_while_nobody_listened_follows_the_handshake_exactly_once(self, world):
        world.say(RIDGE, "while away", id=1)
        world.advance(5)

        records = Client(world).connect()

        assert kinds(records)[-2:] == ["config_complete_id", "packet"]
        assert texts(records) == [b"while away"]
        assert texts(Client(world).connect()) == []

    def test_only_so_many_packets_are_kept_and_the_oldest_text_goes_first(self):
        world = World(buffered=8)
        for number in range(10):
            world.say(RIDGE, f"text {number}", id=100 + number)
            world.advance(10)

        assert texts(Client(world).connect()) == [f"text {n}".encode() for n in range(2, 10)]
        assert world.node.counts["overflow"] == 2


class TestLimiter:
    def test_a_text_too_soon_is_dropped_behind_a_status_that_looks_like_success(self, world, client):
        client.text("one", id=1)
        world.advance(1.99)
        client.read()
        client.text("two", id=2)

        records = client.read()

        assert statuses(records) == [(0, 2)]
        assert answers(records) == [(OWN, 2, Routing.Error.RATE_LIMIT_EXCEEDED)]
        assert world.node.counts["too_soon"] == 1

    def test_the_refusal_never_comes_when_from_was_not_set(self, world, client):
        client.text("one", id=1)
        client.text("two", id=2, sender=0)

        assert answers(client.read()) == []

    def test_two_seconds_after_the_last_accepted_one_the_next_is_sent(self, world, client):
        client.text("one", id=1)
        world.advance(1.5)
        client.text("refused, which does not count", id=2)
        world.advance(0.5)
        client.text("three", id=3)

        assert world.node.counts["sent"] == 2

    def test_the_id_of_a_refused_text_is_spent(self, world, client):
        client.text("one", id=1)
        client.text("two", id=2)
        world.advance(60)
        client.read()
        client.text("two", id=2)

        assert client.read() == []
        assert world.node.counts["same_id"] == 1


class TestSameIds:
    def test_an_id_among_the_last_20_is_ignored_without_a_word(self, world, client):
        for number in range(1, 22):
            client.text("x", id=number)
            world.advance(60)
        client.read()
        client.text("x", id=2)
        assert client.read() == []

        client.text("x", id=1)
        assert statuses(client.read()) == [(0, 1)]

    def test_serial_remembers_ids_across_connections_and_tcp_forgets(self, world):
        first = Client(world)
        first.connect()
        first.text("x", id=1)
        world.advance(60)
        Client(world).text("x", id=1)
        assert world.node.counts["same_id"] == 1

        Client(world, keeps_ids=False).text("x", id=1)
        assert world.node.counts["same_id"] == 1

    def test_a_reboot_forgets_ids(self, world, client):
        client.text("x", id=1)
        world.node.reboot(world.now)
        world.advance(60)
        client.text("x", id=1)

        assert world.node.counts["same_id"] == 0


class TestQueues:
    def test_the_seventeenth_packet_is_gone_with_status_32_and_no_routing_error(self):
        world = World(text_interval_s=0.0)
        client = Client(world)
        client.connect()
        for number in range(1, 18):
            client.text("x", id=number)

        records = client.read()

        assert statuses(records) == [(0, 16), (32, 17)]
        assert answers(records) == []

    def test_only_the_last_two_statuses_wait(self):
        world = World(text_interval_s=0.0)
        client = Client(world)
        client.connect()
        for number in (1, 2, 3):
            client.text("x", id=number)

        assert statuses(client.read()) == [(0, 2), (0, 3)]

    def test_after_a_full_queue_a_status_without_an_id_says_there_is_room(self):
        world = World(text_interval_s=0.0)
        client = Client(world)
        client.connect()
        for number in range(1, 17):
            client.text("x", id=number)
        full = client.read()
        world.advance(0.1)

        (status,) = (r.queueStatus for r in client.read() if r.HasField("queueStatus"))

        assert full[-1].queueStatus.free == 0
        assert (status.mesh_packet_id, status.free, status.maxlen) == (0, 1, 16)


class TestSizes:
    @pytest.mark.parametrize(
        ("to", "fields", "largest"),
        [
            (BROADCAST, {}, 232),
            (BROADCAST, {"reply_id": 9}, 227),
            (BROADCAST, {"reply_id": 9, "emoji": True}, 222),
            (RIVER, {}, 220),
            (RIVER, {"reply_id": 9}, 215),
            (RIVER, {"reply_id": 9, "emoji": True}, 210),
        ],
    )
    def test_the_largest_text_is_sent_and_one_byte_more_is_too_large(self, world, client, to, fields, largest):
        client.text(b"x" * largest, id=1, to=to, **fields)
        assert statuses(client.read()) == [(0, 1)]

        world.advance(60)
        client.read()
        client.text(b"x" * (largest + 1), id=2, to=to, **fields)

        records = client.read()
        assert statuses(records) == [(7, 2)]
        assert answers(records) == [(OWN, 2, Routing.Error.TOO_LARGE)]

    def test_from_235_bytes_on_there_is_no_answer_at_all(self, client):
        client.text(b"x" * 235, id=1)

        assert client.read() == []


class TestAcknowledgements:
    def test_a_broadcast_that_a_neighbour_repeats_is_acknowledged_by_the_own_node(self, world, client):
        client.text("hello", id=1)
        world.advance(10)

        assert answers(client.read()) == [(OWN, 1, Routing.Error.NONE)]

    def test_a_broadcast_nobody_hears_fails_after_three_tries_in_22_to_24_seconds(self, world, client):
        world.cut_off(OWN)
        client.text("is anybody out there", id=1)
        world.advance(21)
        assert answers(client.read()) == []

        world.advance(4)
        assert answers(client.read()) == [(OWN, 1, Routing.Error.MAX_RETRANSMIT)]
        assert world.air.transmissions == 3

    def test_a_neighbour_destination_acknowledges_itself(self, world, client):
        client.text("hello", id=1, to=RIVER)
        world.advance(10)

        assert answers(client.read()) == [(RIVER, 1, Routing.Error.NONE)]

    def test_on_a_relayed_path_the_own_node_reports_first_and_the_destination_later(self, world, client):
        for one, other in ((OWN, RIVER), (RIVER, OWN)):
            world.air.set_loss(one, other, 1.0)
        client.text("hello", id=1, to=RIVER)
        world.advance(20)

        assert answers(client.read()) == [(OWN, 1, Routing.Error.NONE), (RIVER, 1, Routing.Error.NONE)]

    def test_a_destination_whose_key_is_unknown_is_refused_at_once(self, world, client):
        world.radios[OWN].strangers.add(RIVER)
        client.text("hello", id=1, to=RIVER)
        records = client.read()

        assert statuses(records) == [(39, 1)]
        assert answers(records) == [(OWN, 1, Routing.Error.PKI_SEND_FAIL_PUBLIC_KEY)]

    def test_a_destination_that_lacks_our_key_says_so(self, world, client):
        world.radios[RIVER].strangers.add(OWN)
        client.text("hello", id=1, to=RIVER)
        world.advance(10)

        assert answers(client.read()) == [(RIVER, 1, Routing.Error.PKI_UNKNOWN_PUBKEY)]

    def test_a_lost_direct_message_is_tried_again_and_shown_once(self, world, client):
        heard = []
        world.radios[RIVER].listeners.append(_Collect(heard))
        world.cut_off(OWN)
        client.text("hello", id=1, to=RIVER)
        world.advance(2)
        for other in world.radios:
            world.air.set_loss(OWN, other, 0.0)
            world.air.set_loss(other, OWN, 0.0)
        world.advance(20)

        assert answers(client.read()) == [(RIVER, 1, Routing.Error.NONE)]
        assert len(heard) == 1


class _Collect:
    def __init__(self, heard):
        self.heard = heard

    def delivered(self, packet, via, now):
        self.heard.append(packet)

    def settled(self, id, error, now):
        pass

    def freed(self, now):
        pass


class TestOtherRefusals:
    def test_an_unknown_channel(self, world, client):
        packet = packet_of(text_data("x"), sender=OWN, to=BROADCAST, id=1, channel=5)
        client.ask(packet=packet)

        assert statuses(client.read()) == [(6, 1)]

    def test_transmission_switched_off(self, world, client):
        world.node.tx_enabled = False
        client.text("x", id=1)

        assert statuses(client.read()) == [(34, 1)]

    def test_the_duty_cycle_is_refused_with_words_and_ends(self):
        world = World(region="EU_866", text_interval_s=0.0)  # 2.5 %: 90 s an hour
        client = Client(world)
        client.connect()
        for number in range(1, 49):
            client.text(b"x" * 200, id=number)
            world.advance(30)
        records = client.read()
        assert (9, 48) in statuses(records)
        assert "send again in" in next(
            r.clientNotification.message for r in records if r.HasField("clientNotification")
        )

        world.advance(3600)
        client.connect()
        client.text("x", id=100)
        assert statuses(client.read()) == [(0, 100)]

    def test_a_packet_to_the_own_node_is_acknowledged_and_stays_off_the_air(self, world, client):
        data = Data(portnum=PortNum.ADMIN_APP, payload=b"\x01")
        client.ask(packet=packet_of(data, sender=OWN, to=OWN, id=1, want_ack=True))
        world.advance(10)

        assert answers(client.read()) == [(OWN, 1, Routing.Error.NONE)]
        assert world.air.transmissions == 0


class TestLiveness:
    def test_a_heartbeat_is_answered_by_a_queue_status(self, client):
        client.ask(heartbeat=Heartbeat())

        (record,) = client.read()
        assert (record.queueStatus.free, record.queueStatus.mesh_packet_id) == (16, 0)

    def test_a_client_silent_for_15_minutes_is_closed(self, world, client):
        world.advance(899)
        assert not client.dropped
        world.advance(2)
        assert client.dropped
        assert not world.node.has_client

    def test_a_heartbeat_keeps_the_connection_open(self, world, client):
        for _ in range(4):
            world.advance(600)
            client.ask(heartbeat=Heartbeat())

        assert not client.dropped

    def test_a_disconnect_is_obeyed(self, world, client):
        client.ask(disconnect=True)

        assert client.dropped
        assert not world.node.has_client

    def test_a_second_client_displaces_the_first(self, world, client):
        second = Client(world)

        assert client.dropped
        assert client.read() == []
        assert second.connect() != []

    def test_a_reboot_says_so_afterwards_and_wants_a_new_handshake(self, world, client):
        world.say(RIDGE, "lost in RAM", id=1)
        world.advance(5)
        world.node.reboot(world.now)
        assert client.read() == []
        world.advance(3)

        assert kinds(client.read()) == ["rebooted"]
        assert texts(client.connect()) == []

    def test_a_rebooting_node_hears_and_answers_nothing(self, world, client):
        world.node.reboot(world.now)
        world.say(RIDGE, "into the void", id=1)
        client.ask(heartbeat=Heartbeat())
        world.advance(5)

        assert texts(client.connect()) == []

    def test_nonsense_is_counted(self, world, client):
        world.node.receive(client, b"\xff\xff\xff", world.now)

        assert world.node.counts["unparsable"] == 1


class TestReceiving:
    def test_a_text_comes_with_what_the_radio_measured(self, world, client):
        world.say(RIDGE, "grüezi", id=5)
        world.advance(5)

        packet = next(r.packet for r in client.read() if texts([r]))

        assert (sender_of(packet), packet.id, packet.to) == (RIDGE, 5, BROADCAST)
        assert packet.rx_time >= 1000
        assert packet.rx_rssi < 0
        assert packet.hop_start == 3

    def test_a_direct_text_says_so_and_brings_the_senders_key(self, world, client):
        packet = packet_of(text_data("psst"), sender=RIDGE, to=OWN, id=5, want_ack=True)
        packet.pki_encrypted = True
        world.radios[RIDGE].send(packet, world.now)
        world.advance(5)

        received = next(r.packet for r in client.read() if texts([r]))

        assert received.pki_encrypted
        assert received.public_key == FAR_NODES[0].public_key

    def test_copies_by_several_paths_come_once(self, world, client):
        world.say(RIDGE, "once", id=5)
        world.advance(30)

        assert texts(client.read()) == [b"once"]
        assert world.air.transmissions > 1
