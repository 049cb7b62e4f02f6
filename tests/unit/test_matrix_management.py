# SPDX-License-Identifier: GPL-3.0-or-later
"""What rooms say of themselves, who is asked, and what is kept on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridges.matrix.management import say
from bridges.matrix.management.consents import Consents
from bridges.matrix.management.declarations import declared
from bridges.matrix.management.people import is_person
from bridges.matrix.sync import read_batch
from gateway.model import Address, Declined, Joined, SenderId

BOT = "@bot:gw.test"
HERE = Address.parse("home/!room")
RADIO = Address.parse("radio/Long/Fast")
NODE = Address.parse("radio/!a1b2c301")


def test_a_room_declares_each_channel_it_shares_messages_with() -> None:
    made = Joined(route="x", ends=(HERE, RADIO), exposed_to=(RADIO,), by=SenderId("@ali:gw.test"), at_ms=1)
    filed = Joined(route="y", ends=(Address.parse("lan/town"), HERE))
    events = declared((made, filed), HERE, BOT)
    assert sorted(events) == [
        ("com.beeper.room_features", ""),
        ("m.bridge", "org.crossband://lan/town"),
        ("m.bridge", "org.crossband://radio/Long%2FFast"),
        ("uk.half-shot.bridge", "org.crossband://lan/town"),
        ("uk.half-shot.bridge", "org.crossband://radio/Long%2FFast"),
    ]
    said = events["m.bridge", "org.crossband://radio/Long%2FFast"]
    assert said["creator"] == "@ali:gw.test"
    assert "creator" not in events["m.bridge", "org.crossband://lan/town"]


def test_a_room_without_radio_takes_what_any_room_takes() -> None:
    filed = Joined(route="y", ends=(Address.parse("lan/town"), HERE))
    assert not any(type_ == "com.beeper.room_features" for type_, _ in declared((filed,), HERE, BOT))
    assert declared((), HERE, BOT) == {}


def test_people_elsewhere_are_spelled_by_their_ids() -> None:
    assert is_person(NODE, "home")
    assert is_person(Address.parse("lan/~kim@box"), "home")
    assert not is_person(RADIO, "home")
    assert not is_person(HERE, "home"), "a room's id isn't a person's"


def test_what_everybody_is_told_names_who_did_it_in_one_line() -> None:
    made = Joined(route="x", ends=(HERE, RADIO), exposed_to=(RADIO,))
    said = say.bridged(made, HERE, RADIO, "Ali\n\u202eevil (@ali:gw.test)")
    assert said.startswith("Ali evil (@ali:gw.test) bridged this room to radio/Long/Fast: ")
    assert "clear text" in said
    assert "clear text" not in say.bridged(Joined(route="y", ends=(HERE, RADIO)), HERE, RADIO, "Ali")


def test_consent_is_on_the_disk_when_it_is_given_and_gone_when_it_is_taken_back(tmp_path: Path) -> None:
    file = tmp_path / "consents.json"
    given = Consents(file)
    given.give("!room", "@ali:gw.test")
    assert Consents(file).has("!room")
    given.take_back("!room")
    assert not given.has("!room")
    assert not Consents(file).has("!room")


def test_consent_that_can_not_be_written_is_not_given_and_one_taken_back_holds_no_more(tmp_path: Path) -> None:
    file = tmp_path / "state" / "consents.json"
    given = Consents(file)
    given.give("!kept", "@ali:gw.test")
    file.unlink()
    file.mkdir()  # nothing can be put in its place
    (file / "x").touch()
    with pytest.raises(Declined, match="write it down"):
        given.give("!room", "@ali:gw.test")
    assert not given.has("!room")
    with pytest.raises(Declined, match="write it down"):
        given.take_back("!kept")
    assert not given.has("!kept")


def test_too_many_consents_are_declined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridges.matrix.management.consents.MOST", 1)
    given = Consents(tmp_path / "consents.json")
    given.give("!one", "@ali:gw.test")
    given.give("!one", "@bea:gw.test")
    with pytest.raises(Declined, match="already"):
        given.give("!two", "@ali:gw.test")


@pytest.mark.parametrize("content", ["x", ["!room"], {"encrypted": ["!room"]}])
def test_a_file_of_consents_that_makes_no_sense_gives_none(tmp_path: Path, content: Any) -> None:
    import json

    (tmp_path / "consents.json").write_text(json.dumps(content))
    assert not Consents(tmp_path / "consents.json").has("!room")


def invited(content: Any) -> Any:
    event = {"type": "m.room.member", "state_key": BOT, "sender": "@ali:gw.test", "content": content}
    answer = {"next_batch": "s", "rooms": {"invite": {"!r": {"invite_state": {"events": [event]}}}}}
    (invite,) = read_batch(answer, BOT).invites
    return invite.inviter, invite.is_direct


def test_an_invitation_says_whether_it_is_to_a_direct_chat() -> None:
    assert invited({"is_direct": True}) == ("@ali:gw.test", True)
    for content in ({}, {"is_direct": "true"}, {"is_direct": 1}, None):
        assert invited(content) == ("@ali:gw.test", False)


@pytest.mark.parametrize(
    ("summary", "members"),
    [
        ({"m.joined_member_count": 3, "m.invited_member_count": 1}, 4),
        ({"m.joined_member_count": 3}, 3),
        ({"m.heroes": []}, None),
        ({"m.joined_member_count": "3"}, None),
        (None, None),
    ],
)
def test_how_many_are_in_a_room_is_known_where_it_changed(summary: Any, members: int | None) -> None:
    answer = {"next_batch": "s", "rooms": {"join": {"!r": {"summary": summary}}}}
    assert read_batch(answer, BOT).rooms[0].members == members
