# SPDX-License-Identifier: GPL-3.0-or-later
"""What users expect of a bridge, row by row (the reference's table D): from an event to packets, and back. Pure.

The core's look-up of counterparts is played by two tables; what becomes of changes is `test_changes.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.matrix.content import Around, from_message
from bridges.matrix.convert import ORIGIN_KEY, PROFILE_KEY, Reading, Skip
from bridges.matrix.convert import to_message as from_event
from bridges.meshtastic.convert import Ear, Transmission, to_packet
from bridges.meshtastic.convert import to_message as from_packet
from bridges.meshtastic.places import BROADCAST, Channel, Place
from bridges.meshtastic.places import capabilities as radio
from gateway.fitting import Unfit, fit
from gateway.model import Address, BridgeName, Message, Reaction, RemoteId

TOWN, AIR = Address(BridgeName("home"), "#town:gw.test"), Address(BridgeName("radio"), "LongFast")
OWN, BEA = 0xA1B2C300, 0xA1B2C301
NOW_MS = 1_795_701_720_000
ON_AIR = {"$heard": "0000002a", "$thread": "0000002b", "$first": "00000030", "$third": "00000030"}
"""What events are called on the air; a text in three parts is answered at its first, whichever part is meant."""
IN_ROOM = {"0000002a": "$heard", "0000002b": "$thread"}
NAMES = {"@ali:gw.test": "Ali", "@bea:gw.test": "Bea of the hill"}

READING = Reading(room=TOWN, user_id="@crossband:gw.test", received_ms=NOW_MS, name_of=lambda user: NAMES.get(user, ""))
EAR = Ear(
    bridge=AIR.bridge,
    own=OWN,
    channels={0: Channel(0, "LongFast")},
    routed=[],
    name_of={BEA: "Bea"}.__getitem__,
    count=lambda _: None,
)


@dataclass(frozen=True)
class Air:
    """One packet, in short."""

    text: str
    reply_to: int = 0
    is_tapback: bool = False


def to_air(event: Any) -> list[Air] | str:
    """Return the packets that say an event, or why there are none."""
    message = from_event(event, READING)
    if isinstance(message, Skip):
        return message.value
    parts = fit(message, AIR, radio(4))
    if isinstance(parts, Unfit):
        return parts.reason
    return [_on_air(part) for part in parts]


def _on_air(part: Message) -> Air:
    answered = None if part.reply_to is None else ON_AIR.get(part.reply_to)
    part = replace(part, reply_to=RemoteId(answered) if answered else None)
    if isinstance(part.content, Reaction):
        part = replace(part, content=replace(part.content, target=RemoteId(ON_AIR[part.content.target])))
    packet = to_packet(part, AIR, Place(channel=0), id=9, own=OWN, settings=Transmission())
    data = packet.decoded
    return Air(text=data.payload.decode(), reply_to=data.reply_id, is_tapback=bool(data.emoji))


def event(content: Mapping[str, Any], type_: str = "m.room.message", **fields: Any) -> dict[str, Any]:
    return {"type": type_, "event_id": "$new", "sender": "@ali:gw.test", "content": content} | fields


def says(body: str, relation: Mapping[str, Any] | None = None, **content: Any) -> dict[str, Any]:
    related = {} if relation is None else {"m.relates_to": relation}
    return event({"msgtype": "m.text", "body": body, **related, **content})


def reacts(key: str, **content: Any) -> dict[str, Any]:
    relation = {"rel_type": "m.annotation", "event_id": "$heard", "key": key}
    return event({"m.relates_to": relation, **content}, "m.reaction")


def reply(to: str, **relation: Any) -> dict[str, Any]:
    return {"m.in_reply_to": {"event_id": to}, **relation}


THREAD = {"rel_type": "m.thread", "event_id": "$thread"}
RELAYED = {"id": "x", "displayname": "Cyd", "has_fallback": True}
PILL = '<a href="https://matrix.to/#/@bea:gw.test">Bea of the hill</a>'
HTML = {"format": "org.matrix.custom.html"}


@pytest.mark.parametrize(
    ("row", "said", "heard"),
    [
        ("relay prefix", says("hi"), [Air("Ali: hi")]),
        ("emote", event({"msgtype": "m.emote", "body": "waves"}), [Air("* Ali waves")]),
        ("long text", says("x" * 300), [Air(f"Ali: {'x' * 221} (1/2)"), Air(f"{'x' * 79} (2/2)")]),
        ("too long a text", says("x" * 2000), "too long: more than 4 parts of 232 bytes"),
        ("per-message profile", says("Cyd: hi", **{PROFILE_KEY: RELAYED}), [Air("Cyd: hi")]),
        ("its fallback in html", says("", **HTML, formatted_body="<strong data-mx-profile-fallback>Cyd: </strong>hi",
            **{PROFILE_KEY: RELAYED}), [Air("Cyd: hi")]),
        ("ghost of another bridge", says("hi", **{PROFILE_KEY: {"displayname": "+41 79 123 45 67 (WA)"}}),
            [Air("+41…67: hi")]),
        ("reply", says("yes", reply("$heard")), [Air("Ali: yes", 0x2A)]),
        ("reply with a legacy fallback", says("> <@bea:gw.test> who?\n> me?\n\nyes", reply("$heard")),
            [Air("Ali: yes", 0x2A)]),
        ("reply to a part of a text", says("yes", reply("$third")), [Air("Ali: yes", 0x30)]),
        ("reply to what radios don't know", says("yes", reply("$unknown")), [Air("Ali: yes")]),
        ("long reply", says("x" * 300, reply("$heard")),
            [Air(f"Ali: {'x' * 216} (1/2)", 0x2A), Air(f"{'x' * 84} (2/2)")]),
        ("thread", says("yes", {**THREAD, **reply("$heard", is_falling_back=True)}), [Air("Ali: yes")]),
        ("reply in a thread", says("yes", {**THREAD, **reply("$heard", is_falling_back=False)}),
            [Air("Ali: yes", 0x2A)]),
        ("reaction", reacts("👍"), [Air("👍", 0x2A, is_tapback=True)]),
        ("reaction with a skin tone and joiners", reacts("👩🏽‍🚒"), [Air("👩🏽‍🚒", 0x2A, is_tapback=True)]),
        ("reaction with a picture", reacts("mxc://gw/1", shortcode=":party:"),
            [Air(":party:", 0x2A, is_tapback=True)]),
        ("reaction with a picture without words", reacts("mxc://gw/1"), "empty"),
        ("edit of what was sent", says("* at ten", {"rel_type": "m.replace", "event_id": "$heard"},
            **{"m.new_content": {"msgtype": "m.text", "body": "at ten"}}),
            [Air("Ali: *corrected: at ten", 0x2A)]),
        ("redaction", event({"redacts": "$heard"}, "m.room.redaction"), "this network has no redactions"),
        ("un-reacting", event({}, "m.room.redaction", redacts="$reaction"), "this network has no redactions"),
        ("mention", says("[Bea](https://matrix.to/#/@bea:gw.test): come"), [Air("Ali: Bea of the hill: come")]),
        ("pill", says(" ", **HTML, formatted_body=f"{PILL}: come"), [Air("Ali: Bea of the hill: come")]),
        ("raw id", says("@bea:gw.test: come"), [Air("Ali: Bea of the hill: come")]),
        ("room pill", says("in https://matrix.to/#/#town:gw.test"), [Air("Ali: in #town:gw.test")]),
        ("notice", event({"msgtype": "m.notice", "body": "hi"}), "notice"),
        ("what another gateway carried", says("hi", **{ORIGIN_KEY: "radio/LongFast"}), "other_bridge"),
        ("another bridge's puppet", says("hi", **{"fi.mau.double_puppet_source": "x"}), [Air("Ali: hi")]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_from_a_room_to_the_air(row: str, said: Any, heard: list[Air] | str) -> None:
    assert to_air(said) == heard, row


def packet(text: str, *, reply_to: int = 0, emoji: int = 0) -> MeshPacket:
    made = MeshPacket(to=BROADCAST, id=7)
    made.decoded.CopyFrom(Data(portnum=PortNum.TEXT_MESSAGE_APP, payload=text.encode(), reply_id=reply_to, emoji=emoji))
    setattr(made, "from", BEA)
    return made


def to_room(raw: MeshPacket, around: Around) -> tuple[str, dict[str, Any]]:
    """Return the type and content of the event that says a packet."""
    message = from_packet(raw, EAR, NOW_MS)
    assert message is not None
    if message.reply_to is not None:
        message = replace(message, reply_to=RemoteId(IN_ROOM[message.reply_to]))
    if isinstance(message.content, Reaction):
        message = replace(message, content=replace(message.content, target=RemoteId(IN_ROOM[message.content.target])))
    made = from_message(message, "key.0", NOW_MS, around=around)
    return made.type, made.content


@pytest.mark.parametrize(
    ("row", "raw", "around", "kind", "expected"),
    [
        ("text", packet("hi"), Around(), "m.room.message", {"body": "Bea: hi", "m.mentions": {}}),
        ("reply", packet("hi", reply_to=0x2A), Around(), "m.room.message", {"m.relates_to": reply("$heard")}),
        ("reply to what is in a thread", packet("hi", reply_to=0x2A), Around(thread="$thread"), "m.room.message",
            {"m.relates_to": {**THREAD, **reply("$heard", is_falling_back=False)}}),
        ("tapback", packet("👍", reply_to=0x2A, emoji=1), Around(), "m.reaction",
            {"m.relates_to": {"rel_type": "m.annotation", "event_id": "$heard", "key": "👍"}}),
        ("tapback in text style", packet("❤", reply_to=0x2A, emoji=1), Around(), "m.reaction",
            {"m.relates_to": {"rel_type": "m.annotation", "event_id": "$heard", "key": "❤\ufe0f"}}),
        ("words as a tapback", packet("well said", reply_to=0x2A, emoji=1), Around(), "m.room.message",
            {"body": "Bea: well said", "m.relates_to": reply("$heard")}),
        ("emoji to nothing", packet("👍", emoji=1), Around(), "m.room.message", {"body": "Bea: 👍"}),
        ("mention", packet("@Ali come"), Around(mentions=("@ali:gw.test",)), "m.room.message",
            {"m.mentions": {"user_ids": ["@ali:gw.test"]}}),
        ("markup", packet("<b>hi</b>"), Around(), "m.room.message", {
            "body": "Bea: <b>hi</b>",
            "formatted_body": "<strong data-mx-profile-fallback>Bea: </strong>&lt;b&gt;hi&lt;/b&gt;",
        }),
    ],
    ids=lambda value: value if isinstance(value, str) and not value.startswith("m.") else "",
)  # fmt: skip
def test_from_the_air_to_a_room(
    row: str, raw: MeshPacket, around: Around, kind: str, expected: Mapping[str, Any]
) -> None:
    found, content = to_room(raw, around)
    assert found == kind, row
    assert {key: content.get(key) for key in expected} == expected
