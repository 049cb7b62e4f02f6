# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as said to a ghost before it came."""

from __future__ import annotations

from typing import Any

from bridges.matrix.appservice.beginning import since_invited

GHOST, BEA, EVE = "@mesh_a1b2c301:gw.test", "@bea:gw.test", "@eve:gw.test"


def member(who: str, membership: Any, by: str) -> dict[str, Any]:
    return {"type": "m.room.member", "state_key": who, "sender": by, "content": {"membership": membership}}


def said(words: str, by: str = BEA) -> dict[str, Any]:
    return {"type": "m.room.message", "sender": by, "content": {"body": words}}


def test_what_the_host_said_since_the_last_invitation_counts_and_nobody_elses_words():
    oldest_first = [
        member(GHOST, "invite", BEA),
        said("long ago"),
        member(GHOST, "leave", BEA),
        said("alone"),
        member(GHOST, "invite", BEA),
        said("one"),
        said("not mine", EVE),
        said("two"),
        member(GHOST, "join", GHOST),
    ]
    assert since_invited(oldest_first[::-1], GHOST, BEA) == [said("one"), said("two")]


def test_without_the_invitation_nothing_counts():
    assert since_invited([said("one"), None, "x", {"sender": BEA, "type": 1}], GHOST, BEA) == ()
    assert since_invited([said("one"), member(GHOST, "invite", EVE)], GHOST, BEA) == ()
    assert since_invited([said("one"), member(GHOST, [], BEA), member(EVE, "invite", BEA)], GHOST, BEA) == ()
