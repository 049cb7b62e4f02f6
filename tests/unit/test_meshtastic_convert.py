# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic.convert import (
    MAX_EMOJI_BYTES,
    WORDLESS_ALERT,
    Ear,
    Other,
    Transmission,
    packet_id,
    remote_id,
    sender_of,
    to_message,
    to_packet,
)
from bridges.meshtastic.places import BROADCAST, Channel, Place, room_for
from gateway.model import (
    Address,
    BridgeName,
    Content,
    Edit,
    Lane,
    Location,
    Message,
    NativeId,
    Reaction,
    Rejected,
    RemoteId,
    Sender,
    SenderId,
    Text,
    Topic,
)

RADIO = BridgeName("radio")
OWN, FAR = 0xA1B2C300, 0xA1B2C301
LONG_FAST = Address(RADIO, "LongFast")
CHANNELS = {0: Channel(0, "LongFast"), 1: Channel(1, "Town")}
NOW_MS = 1_700_000_000_000


def packet(payload: bytes = b"hello", *, sender: int = FAR, to: int = BROADCAST, channel: int = 0, **data: int):
    made = MeshPacket(to=to, channel=channel, id=7, hop_limit=3)
    made.decoded.CopyFrom(Data(**{"portnum": PortNum.TEXT_MESSAGE_APP, "payload": payload, **data}))
    setattr(made, "from", sender)
    return made


def heard(raw: MeshPacket) -> tuple[Message | None, Counter[str]]:
    counts: Counter[str] = Counter()
    return to_message(raw, ear(counts), NOW_MS), counts


def ear(counts: Counter[str] | None = None) -> Ear:
    return Ear(
        bridge=RADIO,
        own=OWN,
        channels=CHANNELS,
        routed=[],
        name_of=lambda number: {FAR: "Ridge relay"}.get(number, f"!{number:08x}"),
        count=lambda kind: None if counts is None else counts.update([kind]),
    )


def said(content: Content, *, reply_to: str | None = None) -> Message:
    return Message(
        native_id=NativeId("mx:$1"),
        origin=Address(BridgeName("home"), "#town"),
        sender=Sender(id=SenderId("@ali:x"), name="Ali"),
        content=content,
        received_ms=NOW_MS,
        reply_to=RemoteId(reply_to) if reply_to else None,
    )


def sent(message: Message, *, to: Address = LONG_FAST, node: int = BROADCAST) -> MeshPacket:
    return to_packet(message, to, Place(channel=0, node=node), id=9, own=OWN, settings=Transmission())


def test_a_text_becomes_a_message_with_the_meshs_own_names():
    message, counts = heard(packet())

    assert message == Message(
        native_id=NativeId("mt:a1b2c301:00000007"),
        origin=LONG_FAST,
        sender=Sender(id=SenderId("!a1b2c301"), name="Ridge relay"),
        content=Text(body="hello"),
        received_ms=NOW_MS,
        remote_id=RemoteId("00000007"),
    )
    assert not counts


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (packet(sender=OWN), "own_echo"),
        (packet(sender=0), "own_echo"),
        (packet(b""), "text_empty"),
        (packet(b" \r\n\0"), "text_empty"),
        (packet(to=0xDEADBEEF), "packet_for_others"),
        (packet(portnum=PortNum.RANGE_TEST_APP), "packet_range_test"),
        (packet(portnum=PortNum.STORE_FORWARD_APP), "packet_store_forward"),
        (packet(portnum=PortNum.NEIGHBORINFO_APP), "packet_neighborinfo"),
        (packet(portnum=PortNum.ATAK_PLUGIN), "packet_atak_plugin"),
        (packet(portnum=PortNum.RANGE_TEST_APP, to=0xDEADBEEF), "packet_for_others"),
        (packet(portnum=300), "packet_of_unknown_port"),
        (MeshPacket(encrypted=b"secret", id=3), "packet_encrypted"),
    ],
)
def test_what_is_no_words_for_us_is_counted_by_kind(raw: MeshPacket, kind: str):
    message, counts = heard(raw)

    assert message is None
    assert counts == {kind: 1}


def test_invalid_utf8_is_counted_and_passed_on_as_far_as_it_goes():
    message, counts = heard(packet(b"caf\xe9!"))

    assert message is not None
    assert message.content == Text(body="caf\ufffd!")
    assert counts == {"text_invalid_utf8": 1}


@pytest.mark.parametrize(("is_private", "to", "count"), [(False, OWN, 1), (True, OWN, 0), (False, BROADCAST, 0)])
def test_what_is_said_to_us_alone_in_a_way_that_others_can_read_or_forge_is_counted(is_private, to, count):
    raw = packet(to=to)
    raw.pki_encrypted = is_private
    message, counts = heard(raw)

    assert message is not None
    assert counts["direct_on_channel_key"] == count


def test_a_text_to_our_own_node_is_direct():
    message, _ = heard(packet(to=OWN, channel=1))

    assert message is not None
    assert message.direct
    assert message.origin == Address(RADIO, "!a1b2c301")


def test_an_alert_is_an_emergency():
    message, _ = heard(packet(portnum=PortNum.ALERT_APP))

    assert message is not None
    assert message.lane is Lane.EMERGENCY


@pytest.mark.parametrize(("payload", "body"), [(b"help\a", "help"), (b"\a", WORDLESS_ALERT), (b"", WORDLESS_ALERT)])
def test_an_alert_without_words_still_is_one(payload: bytes, body: str):
    message, counts = heard(packet(payload, portnum=PortNum.ALERT_APP))

    assert message is not None
    assert (message.content, message.topic, message.lane) == (Text(body=body), Topic.ALERT, Lane.EMERGENCY)
    assert not counts


def test_what_is_no_text_is_said_with_its_topic():
    place = Location(latitude=46.5, longitude=8.1)
    message = to_message(
        packet(portnum=PortNum.POSITION_APP), ear(), NOW_MS, Other(content=place, topic=Topic.POSITION)
    )

    assert message is not None
    assert (message.content, message.topic, message.origin) == (place, Topic.POSITION, LONG_FAST)


def test_a_replay_has_its_originals_id_and_says_that_it_is_late():
    once, again = to_message(packet(), ear(), NOW_MS), to_message(packet(), ear(), NOW_MS, is_replay=True)

    assert once is not None
    assert again is not None
    assert (again.id, again.native_id, again.remote_id) == (once.id, once.native_id, once.remote_id)
    assert again.content == Text(body="hello (said earlier)")


def test_a_replayed_tapback_is_a_tapback():
    raw = packet("👍".encode(), reply_id=5, emoji=1)
    message = to_message(raw, ear(), NOW_MS, is_replay=True)

    assert message is not None
    assert message.content == Reaction(target=RemoteId("00000005"), emoji="👍")


def test_a_channel_we_do_not_know_goes_by_its_index():
    message, _ = heard(packet(channel=5))

    assert message is not None
    assert message.origin == Address(RADIO, "#5")


def test_packets_without_an_id_are_told_apart_by_what_they_say():
    one, other = packet(b"one"), packet(b"other")
    one.id = other.id = 0
    first, _ = heard(one)
    second, _ = heard(other)

    assert first is not None
    assert second is not None
    assert first.remote_id is None
    assert first.id != second.id


@pytest.mark.parametrize("emoji", ["👍", "❤️", "👩🏽‍🚒", "🇨🇭", ":party:"])
def test_a_tapback_is_a_reaction_whatever_its_emoji_is_made_of(emoji: str):
    message, _ = heard(packet(f"{emoji}\0".encode(), reply_id=42, emoji=1))

    assert message is not None
    assert message.content == Reaction(target=RemoteId("0000002a"), emoji=emoji)


@pytest.mark.parametrize("words", ["see you there", "x" * (MAX_EMOJI_BYTES + 1)])
def test_words_that_call_themselves_a_tapback_are_an_answer(words: str):
    message, _ = heard(packet(words.encode(), reply_id=42, emoji=1))

    assert message is not None
    assert (message.content, message.reply_to) == (Text(body=words), "0000002a")


@given(st.binary(max_size=300), st.integers(0, 600), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_no_packet_is_too_odd(payload: bytes, portnum: int, reply_id: int, to: int):
    heard(packet(payload, portnum=portnum, reply_id=reply_id, emoji=reply_id & 1, to=to))


@given(st.text(min_size=1, max_size=50).filter(lambda text: text.strip(" \t\r\n\0") == text), st.booleans())
def test_what_is_said_is_what_is_heard(text: str, reacts: bool):
    reacts = reacts and len(text.split()) == 1 and len(text.encode()) <= MAX_EMOJI_BYTES
    content = Reaction(target=RemoteId("0000002a"), emoji=text) if reacts else Text(body=text)
    raw = sent(said(content, reply_to=None if reacts else "0000002a"))
    setattr(raw, "from", FAR)
    message, _ = heard(raw)

    assert message is not None
    assert message.content == content
    assert message.reply_to == (None if reacts else "0000002a")


def test_a_packet_says_who_sends_it_and_asks_for_an_answer():
    raw = sent(said(Text(body="x")))

    assert (sender_of(raw), raw.to, raw.id, raw.hop_limit, raw.want_ack) == (OWN, BROADCAST, 9, 3, True)


def test_a_direct_message_always_asks_for_an_answer():
    settings = Transmission(hop_limit=0, want_ack=False)
    to = Address(RADIO, "!a1b2c301")
    direct = to_packet(said(Text(body="x")), to, Place(channel=0, node=FAR), id=9, own=OWN, settings=settings)
    broadcast = to_packet(said(Text(body="x")), LONG_FAST, Place(channel=0), id=9, own=OWN, settings=settings)

    assert direct.want_ack
    assert not broadcast.want_ack


def test_an_emergency_is_a_text_that_leaves_our_node_first():
    urgent, plain = sent(replace(said(Text(body="x")), lane=Lane.EMERGENCY)), sent(said(Text(body="x")))

    assert (urgent.priority, plain.priority) == (MeshPacket.Priority.ALERT, MeshPacket.Priority.UNSET)
    assert urgent.decoded.portnum == PortNum.TEXT_MESSAGE_APP


@pytest.mark.parametrize("target", [None, "zz", "$event", "0000002A", "2a"])
def test_a_target_that_is_no_packet_id_costs_the_link_not_the_words(target: str | None):
    assert sent(said(Text(body="x"), reply_to=target)).decoded.reply_id == 0


@pytest.mark.parametrize(
    "content",
    [
        Edit(target=RemoteId("0000002a"), body="x"),
        Reaction(target=RemoteId("$event"), emoji="x"),
        Text(body="é" * 117),
        Reaction(target=RemoteId("0000002a"), emoji="é" * 112),
    ],
)
def test_what_a_radio_cannot_say_is_rejected(content: Content):
    with pytest.raises(Rejected):
        sent(said(content))


@pytest.mark.parametrize(
    ("content", "to", "is_reply", "room"),
    [
        (Text(body=""), "LongFast", False, 232),
        (Text(body=""), "LongFast", True, 227),
        (Reaction(target=RemoteId("1"), emoji="x"), "#1", False, 222),
        (Text(body=""), "!a1b2c301", False, 220),
        (Text(body=""), "!a1b2c301", True, 215),
        (Reaction(target=RemoteId("1"), emoji="x"), "!a1b2c301", False, 210),
    ],
)
def test_room_is_what_firmware_was_measured_to_take(content: Content, to: str, is_reply: bool, room: int):
    assert room_for(content, Address(RADIO, to), is_reply) == room


@given(st.text())
def test_a_keys_packet_id_is_a_number_a_radio_takes_and_always_the_same(key: str):
    assert 0 < packet_id(key) < 2**32
    assert packet_id(key) == packet_id(key)
    assert int(remote_id(packet_id(key)), 16) == packet_id(key)


def test_generations_have_different_packet_ids():
    assert len({packet_id(f"abc.{generation}") for generation in range(100)}) == 100
