# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from bridges.matrix.shown import REACTIONS, UNLESS_SAID, Notices, Shown, Stage
from gateway.model import ConfigError, Showing


def test_by_default_there_are_receipts_and_notices_of_failures() -> None:
    usual = Shown(receipts=True, reactions=UNLESS_SAID, notices=Notices.FAILED, waiting_after_s=10.0)
    assert Shown.from_table({}) == usual == Shown()


def test_reactions_are_all_none_or_those_that_are_named() -> None:
    assert Shown.from_table({"reactions": True}).reactions == REACTIONS
    assert Shown.from_table({"reactions": False}).reactions == {}
    named = Shown.from_table({"reactions": {"heard": "👂", "waiting": ""}})
    assert named.reactions == {Stage.HEARD: "👂"}


@pytest.mark.parametrize(
    ("table", "showing"),
    [
        ({}, Showing(waiting_after_s=None)),
        ({"reactions": True}, Showing(waiting_after_s=10.0)),
        ({"notices": "all", "waiting_after_s": 30}, Showing(waiting_after_s=30.0)),
        ({"reactions": {"failed": "❌"}}, Showing(waiting_after_s=None)),
        ({"receipts": False, "notices": "off", "beeper": True}, Showing(waiting_after_s=10.0)),
        ({"receipts": False, "notices": "off"}, Showing(waiting_after_s=None)),
        ({"receipts": False, "notices": "off", "reactions": False}, None),
        ({"receipts": False, "notices": "off", "reactions": {"heard": "👂"}}, Showing(waiting_after_s=None)),
    ],
)
def test_only_what_is_shown_is_asked_for(table: dict[str, Any], showing: Showing | None) -> None:
    assert Shown.from_table(table).showing == showing


@pytest.mark.parametrize(
    ("table", "key"),
    [
        (7, "progress"),
        ({"colour": 1}, "progress.colour"),
        ({"receipts": "yes"}, "progress.receipts"),
        ({"beeper": 1}, "progress.beeper"),
        ({"notices": "some"}, "progress.notices"),
        ({"notices": True}, "progress.notices"),
        ({"reactions": "⏳"}, "progress.reactions"),
        ({"reactions": {"waiting": 5}}, "progress.reactions.waiting"),
        ({"reactions": {"waiting": "two\nlines"}}, "progress.reactions.waiting"),
        ({"reactions": {"waiting": "x" * 65}}, "progress.reactions.waiting"),
        ({"reactions": {"gone": "x"}}, "progress.reactions.gone"),
        ({"waiting_after_s": 0}, "progress.waiting_after_s"),
        ({"waiting_after_s": "10s"}, "progress.waiting_after_s"),
        ({"waiting_after_s": True}, "progress.waiting_after_s"),
        ({"waiting_after_s": float("nan")}, "progress.waiting_after_s"),
    ],
)
def test_a_wrong_value_names_its_key_and_the_mend(table: Any, key: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        Shown.from_table(table)
    assert wrong.value.key == key
    assert wrong.value.mend
