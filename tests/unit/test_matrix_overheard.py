# SPDX-License-Identifier: GPL-3.0-or-later
"""What another gateway's event says of itself, whichever mode that gateway is in."""

from __future__ import annotations

from typing import Any

import pytest

from bridges.matrix.content import from_message
from bridges.matrix.overheard import overheard_in
from gateway.model import Address, BridgeName, Message, NativeId, Overheard, RemoteId, Sender, SenderId, Text

NOW_MS = 1_800_000_000_000


def event(said_ms: int = NOW_MS, **changes: Any) -> dict[str, Any]:
    message = Message(
        native_id=NativeId("web:hilltop:1"),
        origin=Address(BridgeName("lan"), "town"),
        sender=Sender(id=SenderId("~bo@hilltop"), name="bo"),
        content=Text(body="[no] bread"),
        received_ms=said_ms,
    )
    content = from_message(message, "key.0", NOW_MS).content | changes
    return {"type": "m.room.message", "event_id": "$1", "sender": "@box:hs", "content": content}


def nobody(_: str) -> str:
    return ""


@pytest.mark.parametrize("said_ms", [NOW_MS, NOW_MS - 3_600_000])
def test_its_words_are_as_a_radio_would_say_them_also_where_they_came_late(said_ms: int) -> None:
    wanted = Overheard(key="key.0", by="@box:hs", remote_id=RemoteId("$1"), words="bo: [no] bread")
    assert overheard_in(event(said_ms), nobody) == wanted


def test_a_ghosts_words_are_under_its_name_without_its_kind() -> None:
    said = event()
    content = {key: value for key, value in said["content"].items() if "profile" not in key} | {"body": "bread"}
    found = overheard_in(said | {"content": content}, lambda _: "bo (LAN)")
    assert found is not None
    assert found.words == "bo: bread"


def test_how_long_it_has_been_there_is_told_unless_it_came_late_and_whether_it_speaks_for_us() -> None:
    for said_ms, age_s in ((NOW_MS, 7.5), (NOW_MS - 3_600_000, 0.0)):
        found = overheard_in(event(said_ms) | {"unsigned": {"age": 7500}}, nobody, "@box:hs".__eq__)
        assert found is not None
        assert (found.age_s, found.is_ours) == (age_s, True)


def test_what_is_no_gateways_or_was_taken_back_is_nothing_and_what_is_no_text_has_no_words() -> None:
    broken: list[dict[str, Any]] = [{"content": {}}, {"event_id": "nonsense"}, {"content": {"org.crossband.id": 7}}]
    for each in broken:
        assert overheard_in(event() | each, nobody) is None
    wordless: list[dict[str, Any]] = [{"m.new_content": {}}, {"msgtype": "m.location"}]
    for changes in wordless:
        found = overheard_in(event(**changes), nobody)
        assert found is not None
        assert found.words == ""
