# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from bridges.meshtastic.boards import is_board
from bridges.meshtastic.courtesy import THANKS_EVERY_S, Courtesy, answer
from bridges.meshtastic.places import Channel, Place, find, malformed, spelling
from gateway.model import NotThere

CHANNELS = {index: Channel(index, name) for index, name in enumerate(["LongFast", "Town", "Town"])}


@pytest.mark.parametrize(
    ("conversation", "place"),
    [("LongFast", Place(0)), ("#0", Place(0)), ("#2", Place(2)), ("!a1b2c301", Place(0, 0xA1B2C301))],
)
def test_a_conversation_is_found_by_name_index_or_node(conversation: str, place: Place):
    assert find(conversation, CHANNELS) == place


@pytest.mark.parametrize(
    ("conversation", "words"),
    [
        ("!ffffffff", "no node"),
        ("Village", "no channel Village"),
        ("#5", "no channel #5"),
        ("Town", "write #1 or #2"),
        ("longfast", "LongFast"),
    ],
)
def test_what_is_not_there_or_not_clear_is_said_with_what_there_is(conversation: str, words: str):
    with pytest.raises(NotThere, match=words):
        find(conversation, CHANNELS)


@pytest.mark.parametrize(
    ("index", "routed", "expected"),
    [
        (0, [], "LongFast"),
        (0, ["Town", "#0"], "#0"),
        (0, ["LongFast", "#0"], "LongFast"),
        (1, [], "#1"),
        (1, ["Town"], "#1"),
        (6, ["LongFast"], "#6"),
    ],
)
def test_a_channel_is_spelled_as_the_routes_do(index: int, routed: list[str], expected: str):
    assert spelling(index, CHANNELS, routed) == expected


def test_a_node_is_answered_once_in_a_while():
    courtesy = Courtesy(THANKS_EVERY_S)
    courtesy.answered("!a1b2c301", 0.0)

    assert courtesy.is_due("!a1b2c302", 1.0)
    assert not courtesy.is_due("!a1b2c301", THANKS_EVERY_S - 1)
    assert courtesy.is_due("!a1b2c301", THANKS_EVERY_S)


def test_the_answer_fits_a_direct_reply_whatever_the_address():
    assert len(answer("home/#" + "ü" * 300).encode()) <= 215


@pytest.mark.parametrize(
    ("vendor", "product", "expected"),
    [
        (0x10C4, 0xEA60, True),
        (0x303A, 0x1001, True),
        (0x239A, 0x8029, True),
        (0x1366, 0x0105, False),
        (0x0483, 0x374B, False),
        (0x1234, 0x5678, False),
        (None, None, False),
    ],
)
def test_only_boards_that_carry_radios_are_tried(vendor: int | None, product: int | None, expected: bool):
    assert is_board(vendor, product) is expected


@pytest.mark.parametrize(
    ("conversation", "is_bad"), [("LongFast", False), ("!a1b2c301", False), ("#9", False), ("!ffffffff", True)]
)
def test_only_what_no_radio_can_have_is_refused_before_there_is_one(conversation: str, is_bad: bool):
    assert bool(malformed(conversation)) is is_bad
