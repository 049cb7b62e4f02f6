# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from bridges.matrix.places import malformed


@pytest.mark.parametrize(
    "conversation", ["!opaque", "!old:example.org", "#town:example.org", "#städtchen:example.org", "@ali:example.org"]
)
def test_ids_with_and_without_a_server_and_aliases_in_any_script_can_be_rooms(conversation: str) -> None:
    assert malformed(conversation) == ""


@pytest.mark.parametrize("conversation", ["town", "#town", "@ali", "!", "! x:example.org", "town:example.org"])
def test_what_can_be_no_room_says_what_can(conversation: str) -> None:
    assert "is neither a room id (!...) nor an alias (#...:server)" in malformed(conversation)
