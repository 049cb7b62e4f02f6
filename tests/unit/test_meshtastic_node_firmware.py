# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own node between a client and far nodes, which another implementation plays: no sockets, no clock."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meshtastic.protobuf.config_pb2 import Config
from meshtastic.protobuf.mesh_pb2 import Data, FromRadio, Heartbeat, MeshPacket, Routing, ToRadio, User
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic.framing import MAX_PAYLOAD_BYTES
from bridges.meshtastic.modem import PRESETS
from bridges.meshtastic.node.announcing import EVERY_S, FIRST_AFTER_S, JITTER_S, Announcing
from bridges.meshtastic.node.channels import ChannelKey
from bridges.meshtastic.node.crypto import key_pair
from bridges.meshtastic.node.firmware import MOST_SAID, RENUMBER_APART_S, Firmware
from bridges.meshtastic.node.identity import Identity
from bridges.meshtastic.node.roster import MOST_NODES, Roster
from bridges.meshtastic.node.wire import MOST_BYTES
from bridges.sim.lan_peer import LanHeard, LanPeer
from bridges.sim.lan_secrets import SharedChannel

BROADCAST = 0xFFFFFFFF
RIDGE = 0xA1B2C301
TOWN_KEY = bytes(range(16))
NODEINFO = PortNum.NODEINFO_APP
TEXT = PortNum.TEXT_MESSAGE_APP
ROUTING = PortNum.ROUTING_APP


class Lan:
    """Our node, a far one, and the datagrams between them, of which a test may take some away."""

    def __init__(self, **ridge: Any) -> None:
        self.counts: Counter[str] = Counter()
        self.now = 0.0
        self.chance = random.Random(7)
        self.on_air: list[bytes] = []
        self.firmware = self.boot()
        self.ridge = LanPeer("Ridge relay", RIDGE, put=self.on_air.append, **ridge)

    def boot(self, *, seed: bytes = b"\x11" * 32, since_s: float | None = None, **names: str) -> Firmware:
        return Firmware(
            identity=Identity(keys=key_pair(seed), **names),
            channels=(ChannelKey(name="", psk=b"\x01"), ChannelKey(name="Town", psk=TOWN_KEY)),
            lora=Config.LoRaConfig(use_preset=True, region=Config.LoRaConfig.EU_868, hop_limit=3),
            preset_name="LongFast",
            modem=PRESETS["LONG_FAST"],
            roster=Roster(),
            announcing=Announcing(random=self.chance, now=self.now, since_s=since_s),
            entropy=self.chance.randbytes,
            count=lambda what: self.counts.update([what]),
            now=self.now,
        )

    @property
    def own(self) -> int:
        return self.firmware.identity.number

    def meet(self) -> None:
        """Have both know each other's keys."""
        self.ridge.introduce()
        self.pump()
        self.ridge.peers[self.own] = self.firmware.identity.keys.public
        self.firmware.said()

    def pump(self) -> None:
        """Carry datagrams both ways until nobody has one left."""
        while True:
            ours = self.firmware.outgoing()
            theirs, self.on_air[:] = list(self.on_air), []
            if not ours and not theirs:
                return
            for datagram in ours:
                self.ridge.take(datagram)
                self.firmware.hear(datagram, self.now, 1_800_000_000)  # multicast comes back
            for datagram in theirs:
                self.firmware.hear(datagram, self.now, 1_800_000_000)

    def ask(self, **request: Any) -> list[FromRadio]:
        self.firmware.take(ToRadio(**request), self.now, 1_800_000_000)
        return self.firmware.said()

    def send(
        self, text: str, *, to: int = BROADCAST, id: int = 0x1234, channel: int = 0, **data: Any
    ) -> list[FromRadio]:
        packet = MeshPacket(to=to, id=id, channel=channel, hop_limit=3, want_ack=True)
        packet.decoded.CopyFrom(Data(**{"portnum": TEXT, "payload": text.encode(), **data}))
        return self.ask(packet=packet)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in small steps; the far node hears all that is said meanwhile."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(self.now + 1.0, until)
            self.firmware.tick(self.now, 1_800_000_000 + int(self.now))
            self.pump()

    def packets(self) -> list[MeshPacket]:
        return [said.packet for said in self.firmware.said() if said.HasField("packet")]

    def verdicts(self) -> list[tuple[int, int, int]]:
        """Return (who says it, of which packet, error) of all that the client is told of its packets."""
        return [
            (
                getattr(packet, "from"),
                packet.decoded.request_id,
                Routing.FromString(packet.decoded.payload).error_reason,
            )
            for packet in self.packets()
            if packet.decoded.portnum == ROUTING
        ]


def statuses(said: list[FromRadio]) -> list[tuple[int, int]]:
    return [(each.queueStatus.mesh_packet_id, each.queueStatus.res) for each in said if each.HasField("queueStatus")]


def introductions(heard: list[LanHeard]) -> list[LanHeard]:
    return [each for each in heard if each.portnum == NODEINFO]


# The client.


def test_it_greets_a_client_as_a_radio_does():
    lan = Lan()
    lan.meet()

    said = lan.ask(want_config_id=99)

    kinds = [each.WhichOneof("payload_variant") for each in said]
    assert kinds[:3] == ["my_info", "node_info", "metadata"]
    assert kinds.count("channel") == 8
    assert said[-1].config_complete_id == 99
    assert said[0].my_info.my_node_num == lan.own
    nodes = [each.node_info for each in said if each.HasField("node_info")]
    assert [(each.num, each.user.long_name) for each in nodes][1] == (RIDGE, "Ridge relay")
    (lora,) = [each.config.lora for each in said if each.config.HasField("lora")]
    assert (lora.region, lora.use_preset) == (Config.LoRaConfig.EU_868, True)
    assert nodes[0].user.role == Config.DeviceConfig.CLIENT_MUTE, "it relays nothing"


def test_it_answers_a_sign_of_life():
    assert statuses(Lan().ask(heartbeat=Heartbeat())) == [(0, 0)]


@pytest.mark.parametrize(
    ("packet", "error"),
    [
        ({"to": BROADCAST, "channel": 2, "decoded": {"portnum": TEXT, "payload": b"x"}}, Routing.NO_CHANNEL),
        ({"to": BROADCAST, "decoded": {"portnum": TEXT, "payload": bytes(233)}}, Routing.TOO_LARGE),
        ({"to": RIDGE, "decoded": {"portnum": TEXT, "payload": b"x"}}, Routing.PKI_SEND_FAIL_PUBLIC_KEY),
        ({"to": BROADCAST, "encrypted": b"x"}, Routing.BAD_REQUEST),
        ({"to": 0, "decoded": {"portnum": TEXT, "payload": b"x"}}, Routing.NOT_AUTHORIZED),
    ],
)
def test_what_it_can_not_send_is_refused_twice_by_status_and_by_answer(packet: dict[str, Any], error: int):
    lan = Lan()

    lan.firmware.take(ToRadio(packet=MeshPacket(id=5, **packet)), 0.0, 0)
    said = lan.firmware.said()

    answer = next(each.packet for each in said if each.HasField("packet"))
    assert statuses(said) == [(5, error)]
    assert (answer.decoded.request_id, Routing.FromString(answer.decoded.payload).error_reason) == (5, error)
    assert lan.firmware.outgoing() == []


@pytest.mark.parametrize(("to", "room"), [(BROADCAST, 232), (RIDGE, 220)])
def test_there_is_as_much_room_as_on_a_radio(to: int, room: int):
    lan = Lan()
    lan.meet()

    assert statuses(lan.send("x" * room, to=to)) == [(0x1234, 0)]
    assert statuses(lan.send("x" * (room + 1), to=to, id=5)) == [(5, Routing.TOO_LARGE)]
    lan.pump()
    assert [heard.text for heard in lan.ridge.heard if heard.text] == ["x" * room]


def test_a_client_that_takes_nothing_loses_the_oldest_and_that_is_counted():
    lan = Lan()
    for _ in range(MOST_SAID + 3):
        lan.firmware.take(ToRadio(heartbeat=Heartbeat()), 0.0, 0)

    assert len(lan.firmware.said()) == MOST_SAID
    assert lan.counts["lan_client_too_slow"] == 3


# To all.


def test_a_text_is_heard_as_it_was_said():
    lan = Lan(relays=False)

    assert statuses(lan.send("grüezi", reply_id=77)) == [(0x1234, 0)]
    lan.pump()

    (heard,) = lan.ridge.heard
    assert (heard.sender, heard.id, heard.text, heard.reply_id) == (lan.own, 0x1234, "grüezi", 77)
    assert heard.hop_limit == 3


def test_a_broadcast_never_asks_for_an_acknowledgement_on_the_wire_and_is_not_let_out_to_mqtt():
    lan = Lan(relays=False)
    lan.send("hello")
    (datagram,) = lan.firmware.outgoing()

    packet = MeshPacket.FromString(datagram)
    data = Data.FromString(SharedChannel().apply(lan.own, packet.id, packet.encrypted))

    assert not packet.want_ack
    assert packet.hop_start == packet.hop_limit == 3
    assert packet.relay_node == lan.own & 0xFF
    assert data.HasField("bitfield")
    assert data.bitfield == 0


def test_a_relay_that_repeats_it_is_told_as_heard_and_it_is_not_sent_again():
    lan = Lan(relays=True)
    lan.send("hello")
    lan.pump()

    assert lan.verdicts() == [(lan.own, 0x1234, Routing.NONE)]
    lan.pass_time(25)
    assert lan.verdicts() == []
    assert [heard.text for heard in lan.ridge.heard if heard.text] == ["hello"]
    assert lan.ridge.counts["duplicate"] == 0


def test_what_nobody_repeats_is_sent_three_times_and_then_given_up():
    lan = Lan(relays=False)
    lan.send("hello")
    lan.pump()
    lan.pass_time(21)
    assert lan.verdicts() == []

    lan.pass_time(4)

    assert lan.verdicts() == [(lan.own, 0x1234, Routing.MAX_RETRANSMIT)]
    assert lan.ridge.counts["duplicate"] == 2
    assert [heard.text for heard in lan.ridge.heard if heard.text] == ["hello"]


def test_its_own_packets_that_come_back_are_no_news():
    lan = Lan()
    lan.send("hello")
    lan.pump()

    assert [packet for packet in lan.packets() if packet.decoded.portnum == TEXT] == []


def test_an_acknowledgement_that_somebody_made_up_from_the_id_alone_is_none():
    lan = Lan(relays=False)
    lan.send("hello")
    lan.firmware.outgoing()
    forged = MeshPacket(to=BROADCAST, id=0x1234, channel=8, hop_limit=2, hop_start=3, relay_node=1, encrypted=b"forged")
    setattr(forged, "from", lan.own)

    lan.firmware.hear(forged.SerializeToString(), 0.0, 0)

    assert lan.verdicts() == []
    assert lan.counts["lan_own_number"] == 1


# From others.


def test_what_somebody_says_is_passed_on_once_whatever_ways_it_comes():
    lan = Lan()
    number = lan.ridge.say("anybody there?")
    (datagram,) = lan.on_air
    lan.on_air.append(datagram)  # the other group, too
    lan.pump()

    (packet,) = [each for each in lan.packets() if each.decoded.portnum == TEXT]
    assert (getattr(packet, "from"), packet.id, packet.channel, packet.decoded.payload) == (
        RIDGE,
        number,
        0,
        b"anybody there?",
    )
    assert packet.rx_time == 1_800_000_000
    assert not packet.pki_encrypted
    assert lan.counts["lan_duplicate"] == 1


def test_a_channel_is_known_by_its_index():
    lan = Lan(channel=SharedChannel(name="Town", key=TOWN_KEY))
    lan.ridge.say("in town")
    lan.pump()

    assert [(each.channel, each.decoded.payload) for each in lan.packets()] == [(1, b"in town")]


@pytest.mark.parametrize(
    ("channel", "counted"),
    [
        (SharedChannel(name="Village", key=TOWN_KEY), "lan_unknown_channel"),
        (SharedChannel(name="LongFast", key=bytes(15) + b"\x6b"), "lan_undecryptable"),
    ],
)
def test_what_no_key_opens_is_counted_and_not_passed_on(channel: SharedChannel, counted: str):
    lan = Lan(channel=SharedChannel(name=channel.name, key=channel.key))
    if counted == "lan_undecryptable":
        object.__setattr__(lan.ridge.channel, "name", _name_with_hash(8, lan.ridge.channel.key))
    for _ in range(20):
        lan.ridge.say("secret " * 20)
    lan.pump()

    assert [each for each in lan.packets() if each.decoded.portnum == TEXT] == []
    assert lan.counts[counted] == 20


def _name_with_hash(wanted: int, key: bytes) -> str:
    return next(chr(c) for c in range(1, 128) if SharedChannel(name=chr(c), key=key).hash == wanted)


def test_a_packet_under_no_number_or_with_impossible_hops_is_refused():
    lan = Lan()
    lan.ridge.number = 0
    lan.ridge.say("nobody")
    lan.ridge.number = RIDGE
    lan.ridge.say("far", hops=8)
    lan.pump()

    assert lan.packets() == []
    assert (lan.counts["lan_without_sender"], lan.counts["lan_impossible_hops"]) == (1, 1)


# To one.


def test_a_direct_text_is_sealed_delivered_and_acknowledged_by_its_reader():
    lan = Lan()
    lan.meet()

    assert statuses(lan.send("for you", to=RIDGE)) == [(0x1234, 0)]
    lan.pump()

    heard = lan.ridge.heard[-1]
    assert (heard.text, heard.sealed, heard.to) == ("for you", True, RIDGE)
    assert lan.verdicts() == [(RIDGE, 0x1234, Routing.NONE)]
    lan.pass_time(30)
    assert lan.verdicts() == []


def test_a_direct_text_that_nobody_acknowledges_is_given_up():
    lan = Lan(acknowledges=False)
    lan.meet()
    lan.send("for you", to=RIDGE)
    lan.pump()
    lan.pass_time(25)

    assert lan.verdicts() == [(lan.own, 0x1234, Routing.MAX_RETRANSMIT)]


def test_who_lacks_our_key_says_so_and_is_told_who_we_are():
    lan = Lan()
    lan.meet()
    del lan.ridge.peers[lan.own]

    lan.send("for you", to=RIDGE)
    lan.pump()

    assert lan.verdicts() == [(RIDGE, 0x1234, Routing.PKI_UNKNOWN_PUBKEY)]
    assert lan.ridge.peers[lan.own] == lan.firmware.identity.keys.public
    lan.send("again", to=RIDGE, id=0x1235)
    lan.pump()
    assert lan.ridge.heard[-1].text == "again"


def test_a_direct_text_to_us_is_read_and_acknowledged():
    lan = Lan()
    lan.meet()

    number = lan.ridge.say("hello gateway", to=lan.own)
    lan.pump()

    (packet,) = lan.packets()
    assert (packet.to, packet.decoded.payload, packet.pki_encrypted) == (lan.own, b"hello gateway", True)
    answer = lan.ridge.heard[-1]
    assert (answer.request_id, answer.error, answer.priority) == (number, Routing.NONE, MeshPacket.Priority.ACK)


def test_an_acknowledgement_that_was_lost_is_given_again_and_the_text_is_not():
    lan = Lan()
    lan.meet()
    number = lan.ridge.say("hello gateway", to=lan.own)
    (datagram,) = lan.on_air
    lan.firmware.hear(datagram, lan.now, 0)
    lan.firmware.outgoing()  # lost
    lan.firmware.hear(datagram, lan.now + 0.1, 0)
    assert lan.firmware.outgoing() == [], "a copy on another way is no repetition"

    lan.firmware.hear(datagram, lan.now + 8.0, 0)

    lan.on_air.clear()
    lan.pump()
    assert [heard.request_id for heard in lan.ridge.heard if heard.portnum == ROUTING] == [number]
    assert [packet.decoded.payload for packet in lan.packets()] == [b"hello gateway"]


@pytest.mark.parametrize(("knows", "error"), [(False, Routing.PKI_UNKNOWN_PUBKEY), (True, Routing.NO_CHANNEL)])
def test_a_direct_text_that_we_can_not_read_is_refused_with_the_reason(knows: bool, error: int):
    lan = Lan()
    if knows:
        lan.meet()
    lan.ridge.peers[lan.own] = hashlib.sha256(b"another").digest() if knows else lan.firmware.identity.keys.public

    number = lan.ridge.say("hello gateway", to=lan.own)
    lan.pump()

    answer = lan.ridge.heard[-1]
    assert (answer.request_id, answer.error) == (number, error)
    assert lan.packets() == []


def test_a_direct_text_that_everybody_on_the_channel_can_read_is_refused():
    lan = Lan()
    lan.ridge.send(Data(portnum=NODEINFO, payload=b"\xff"), to=lan.own)  # ports like this one are legal
    data = Data(portnum=TEXT, payload=b"forged")
    packet = MeshPacket(to=lan.own, id=9, channel=8, hop_limit=3, hop_start=3, want_ack=True)
    setattr(packet, "from", RIDGE)
    packet.encrypted = SharedChannel().apply(RIDGE, 9, data.SerializeToString())
    lan.on_air.append(packet.SerializeToString())
    lan.pump()

    assert lan.counts["lan_direct_on_channel"] == 1
    assert lan.packets() == []


def test_strangers_can_not_make_us_flood_the_air_with_answers():
    lan = Lan()
    lan.ridge.peers[lan.own] = lan.firmware.identity.keys.public
    for _ in range(200):
        lan.ridge.say("x", to=lan.own)
    lan.pump()

    assert len([heard for heard in lan.ridge.heard if heard.portnum == ROUTING]) == 10
    assert lan.counts["lan_answer_withheld"] == 190


# Who is who.


def test_it_says_who_it_is_soon_after_the_start_and_then_every_three_hours():
    lan = Lan()
    lan.pass_time(FIRST_AFTER_S - 1)
    assert introductions(lan.ridge.heard) == []
    lan.pass_time(JITTER_S + 2)
    (first,) = introductions(lan.ridge.heard)
    lan.pass_time(2 * (EVERY_S + JITTER_S))

    user = User.FromString(first.payload)
    assert len(introductions(lan.ridge.heard)) == 3
    assert user.id == f"!{lan.own:08x}"
    assert user.public_key == lan.firmware.identity.keys.public
    assert (user.long_name, user.short_name) == (
        f"Crossband {lan.own:08x}"[:10] + f"{lan.own:08x}"[-4:],
        f"{lan.own:08x}"[-4:],
    )
    assert lan.firmware.has_changed
    assert lan.firmware.announced_unix


def test_a_gateway_that_starts_again_and_again_does_not_tell_everybody_each_time():
    lan = Lan()
    lan.firmware = lan.boot(since_s=20.0)
    lan.pass_time(500)
    assert introductions(lan.ridge.heard) == []

    lan.pass_time(150)
    assert len(introductions(lan.ridge.heard)) == 1


def test_who_asks_is_answered_and_who_asks_again_soon_is_not():
    lan = Lan()
    for _ in range(3):
        lan.ridge.introduce(to=lan.own, want_response=True)
        lan.pump()
    lan.pass_time(20)

    assert [heard.to for heard in introductions(lan.ridge.heard)] == [RIDGE]


def test_who_asks_everybody_from_afar_is_not_answered():
    lan = Lan()
    lan.ridge.introduce(want_response=True)
    far = MeshPacket.FromString(lan.on_air.pop())
    far.hop_limit = 1
    lan.on_air.append(far.SerializeToString())
    lan.pump()
    assert introductions(lan.ridge.heard) == []

    lan.ridge.introduce(want_response=True)
    lan.pump()
    assert [heard.hop_limit for heard in introductions(lan.ridge.heard)] == [0], "only as far as it came"


def test_a_stranger_who_talks_is_asked_who_they_are_once():
    lan = Lan()
    for number in range(3):
        lan.ridge.say(f"words {number}")
        lan.pump()

    assert [(heard.to, heard.want_response) for heard in introductions(lan.ridge.heard)] == [(RIDGE, True)]


def test_a_client_can_ask_who_somebody_is_but_not_under_another_name():
    lan = Lan()
    packet = MeshPacket(to=RIDGE, id=5, hop_limit=3)
    payload = User(long_name="Somebody else", public_key=b"k" * 32).SerializeToString()
    packet.decoded.CopyFrom(Data(portnum=NODEINFO, payload=payload, want_response=True))

    assert statuses(lan.ask(packet=packet)) == [(5, 0)]
    lan.pump()

    (heard,) = introductions(lan.ridge.heard)
    assert User.FromString(heard.payload) == lan.firmware.identity.user()
    assert heard.want_response


def test_the_first_key_of_a_node_stands():
    lan = Lan()
    lan.meet()
    first = lan.ridge.keys
    impostor = LanPeer("Somebody else", RIDGE, put=lan.on_air.append, seed=5)
    impostor.introduce()
    lan.pump()

    assert lan.firmware.roster.key(RIDGE) == first.public
    assert lan.packets() == []
    assert lan.counts["lan_key_changed"] == 1


def test_whom_somebody_wrote_to_cannot_be_pushed_out_and_come_back_with_another_key():
    lan = Lan()
    lan.ridge.introduce()
    lan.pump()
    lan.send("psst", to=RIDGE)
    lan.pump()
    known = lan.firmware.roster.key(RIDGE)
    for number in range(MOST_NODES + 1):
        LanPeer(f"Nobody {number}", 0x1000 + number, put=lan.on_air.append).introduce()
        lan.pump()
    LanPeer("Thief", RIDGE, put=lan.on_air.append).introduce()
    lan.pump()

    assert known
    assert lan.firmware.roster.key(RIDGE) == known


# Our number.


def test_another_node_under_our_number_makes_us_take_a_new_one_and_say_so():
    lan = Lan()
    before = lan.own
    twin = LanPeer("Twin", before, put=lan.on_air.append)
    twin.introduce()
    lan.pump()

    said = lan.firmware.said()
    assert lan.own != before
    assert any(each.rebooted for each in said), "the client greets anew, and learns the number"
    (words,) = [each.clientNotification.message for each in said if each.HasField("clientNotification")]
    assert f"!{before:08x}" in words
    assert f"!{lan.own:08x}" in words
    assert lan.firmware.has_changed
    lan.send("hello")
    lan.pump()
    assert lan.ridge.heard[-1].sender == lan.own
    lan.pass_time(FIRST_AFTER_S + JITTER_S)
    assert lan.ridge.peers[lan.own] == lan.firmware.identity.keys.public


def test_nobody_can_make_us_change_our_number_all_the_time():
    lan = Lan()
    for _ in range(3):
        LanPeer("Twin", lan.own, put=lan.on_air.append).introduce()
        lan.pump()
    numbered = lan.own
    lan.now += RENUMBER_APART_S
    LanPeer("Twin", lan.own, put=lan.on_air.append).introduce()
    lan.pump()

    assert lan.counts["lan_number_taken"] == 2
    assert lan.counts["lan_number_taken_again"] == 2
    assert lan.own != numbered


def test_what_we_said_before_a_restart_and_comes_back_does_not_make_us_change_our_number():
    lan = Lan()
    lan.pass_time(FIRST_AFTER_S + JITTER_S)
    announced = next(raw for raw in lan.ridge.raw)
    before = lan.own
    lan.firmware = lan.boot(long_name="Renamed")

    lan.firmware.hear(announced, lan.now + 5, 0)

    assert lan.own == before
    assert lan.counts["lan_number_taken"] == 0


def test_what_we_said_and_somebody_plays_back_does_not_cost_us_our_number_and_keys():
    lan = Lan()
    lan.pass_time(FIRST_AFTER_S + JITTER_S)
    announced = next(raw for raw in lan.ridge.raw)
    before = lan.own
    lan.firmware = lan.boot()

    for days in range(1, 4):
        lan.firmware.hear(announced, lan.now + days * 86_400, 0)

    assert lan.own == before
    assert lan.counts["lan_own_key"] == 3


def test_a_copied_box_with_our_very_key_is_told_of_once():
    lan = Lan()
    copied = lan.boot()
    copied.tick(FIRST_AFTER_S + JITTER_S, 0)
    (announced,) = copied.outgoing()

    lan.firmware.hear(announced, lan.now + 100, 0)
    lan.firmware.hear(announced, lan.now + 200, 0)

    (words,) = [each.clientNotification.message for each in lan.firmware.said() if each.HasField("clientNotification")]
    assert "node.json" in words


def test_texts_under_our_number_that_are_not_ours_are_not_passed_on():
    lan = Lan()
    LanPeer("Twin", lan.own, put=lan.on_air.append).say("I am you")
    lan.pump()

    assert lan.packets() == []
    assert lan.counts["lan_namesake"] == 1


# Anything at all.


def test_a_packet_blown_up_with_fields_that_nobody_knows_still_fits_a_frame():
    lan = Lan()
    lan.ridge.say("x" * 200)
    datagram = lan.on_air.pop()
    filling = MOST_BYTES - len(datagram) - 4
    datagram += b"\xa2\x1f" + bytes([filling & 0x7F | 0x80, filling >> 7]) + bytes(filling)  # field 500
    assert len(datagram) == MOST_BYTES

    lan.firmware.hear(datagram, lan.now, 0)

    (said,) = [each for each in lan.firmware.said() if each.packet.decoded.portnum == TEXT]
    assert len(said.SerializeToString()) <= MAX_PAYLOAD_BYTES
    assert said.packet.decoded.payload == b"x" * 200


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=300) | st.integers(0, 2**64), max_size=20))
def test_nothing_that_comes_from_the_lan_is_an_exception_and_what_is_said_after_it_is_heard(noise: list[bytes | int]):
    lan = Lan()
    lan.meet()
    for each in noise:
        if isinstance(each, int):
            chance = random.Random(each)
            lan.ridge.say("x" * chance.randrange(200), to=chance.choice([BROADCAST, lan.own]))
            damaged = bytearray(lan.on_air.pop())
            for _ in range(chance.randrange(4)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            lan.firmware.hear(bytes(damaged[: chance.randrange(len(damaged) + 1)] or damaged), lan.now, 0)
        else:
            lan.firmware.hear(each, lan.now, 0)
    assert all(len(said.SerializeToString()) <= MAX_PAYLOAD_BYTES for said in lan.firmware.said())
    lan.ridge.say("still there?")
    lan.pump()

    assert b"still there?" in [packet.decoded.payload for packet in lan.packets()]
