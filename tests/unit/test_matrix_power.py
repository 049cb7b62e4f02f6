# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has the say in a room, in every room version."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bridges.matrix.management.power import Powers

ALI, BEA, EVE = "@ali:gw.test", "@bea:gw.test", "@eve:gw.test"
OLD = [str(version) for version in range(1, 12)]
NEW = ["12", "13", "org.matrix.hydra.11"]


def room(version: str | None, levels: dict[str, Any] | None, **content: Any) -> Powers:
    """A room that Ali made."""
    if version is not None:
        content["room_version"] = version
        if version in OLD[:10]:
            content.setdefault("creator", ALI)
    return Powers(create={"type": "m.room.create", "sender": ALI, "content": content}, levels=levels)


@pytest.mark.parametrize("version", OLD)
def test_before_version_12_a_creator_has_what_the_levels_say(version: str) -> None:
    made = room(version, {"users": {ALI: 0, BEA: 50}, "users_default": 10})
    assert (made.of(ALI), made.of(BEA), made.of(EVE)) == (0, 50, 10)
    assert not made.may_send_state(ALI, "m.bridge")
    assert made.may_send_state(BEA, "m.bridge")


@pytest.mark.parametrize("version", OLD)
def test_without_levels_the_creator_has_100_and_nobody_else_any(version: str) -> None:
    made = room(version, None)
    assert (made.of(ALI), made.of(BEA)) == (100, 0)
    assert made.may_send_state(ALI, "m.bridge")
    assert not made.may_send_state(BEA, "m.bridge")


@pytest.mark.parametrize("version", NEW)
def test_from_version_12_on_creators_stand_above_all_levels(version: str) -> None:
    made = room(version, {"users": {BEA: 100}, "state_default": 150}, additional_creators=[EVE, 7, None])
    assert made.of(ALI) == made.of(EVE) == math.inf
    assert made.may_send_state(ALI, "m.bridge")
    assert not made.may_send_state(BEA, "m.bridge")


@pytest.mark.parametrize("version", [*OLD, "org.example.fork.11", None])
def test_additional_creators_mean_nothing_before_version_12(version: str | None) -> None:
    made = room(version, {"users": {}}, additional_creators=[EVE])
    assert made.of(EVE) == 0


def test_no_version_is_version_1_and_its_content_names_the_creator() -> None:
    made = room(None, None, creator=BEA)
    assert (made.of(ALI), made.of(BEA)) == (0, 100)


@pytest.mark.parametrize(
    ("levels", "needed"),
    [
        ({}, 50),
        (None, 50),
        ({"state_default": 0}, 0),
        ({"state_default": 75, "events": {"m.bridge": 20}}, 20),
        ({"events": {"m.other": 0}}, 50),
        ({"state_default": "100"}, 100),
        ({"state_default": None}, math.inf),
        ({"events": {"m.bridge": [0]}}, math.inf),
        ({"events": {"m.bridge": True}}, math.inf),
        ({"events": "none"}, 50),
    ],
)
def test_what_it_takes_is_what_the_room_says_and_nonsense_takes_more_than_anyone_has(
    levels: dict[str, Any] | None, needed: float
) -> None:
    assert room("11", levels).needed_for_state("m.bridge") == needed


@pytest.mark.parametrize(
    ("given", "level"), [("50", 50), (" 7 ", 7), (49.9, 49), ("x", 0), (math.nan, 0), (True, 0), (None, 0), ({}, 0)]
)
def test_levels_of_old_rooms_may_be_written_oddly_and_nonsense_is_no_power(given: object, level: float) -> None:
    assert room("9", {"users": {BEA: given}, "users_default": 0}).of(BEA) == level


@pytest.mark.parametrize("create", [{}, {"content": None}, {"sender": 3, "content": {"room_version": 12}}])
def test_a_create_event_without_sense_gives_nobody_power(create: dict[str, Any]) -> None:
    made = Powers(create=create, levels=None)
    assert made.of(ALI) == 0
