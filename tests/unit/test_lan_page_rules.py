# SPDX-License-Identifier: GPL-3.0-or-later
"""bridges.lan.page_rules: how often somebody at the page may speak."""

from __future__ import annotations

from bridges.lan.hall import Refusal
from bridges.lan.page_rules import Pace, PageRules
from gateway.model import Content, Redaction, RemoteId, Text

HELLO = Text(body="hello")


def ask(
    rules: PageRules, at_s: float, *, key: str = "ali", room: str = "town", on_radio: bool = True, said: Content = HELLO
) -> Refusal | None:
    return rules.judge(key, room, said, at_s, silent="", on_radio=on_radio)


def test_a_person_s_burst_on_radio_is_followed_by_one_line_a_pace_and_told_when() -> None:
    rules = PageRules(Pace(radio_s=60, radio_burst=3))
    assert [ask(rules, 0.0) for _ in range(3)] == [None] * 3
    refused = ask(rules, 15.0)
    assert refused == Refusal(reason="on radio 3 lines at once, then one in 60 s; again in 45 s", retry_after_s=45.0)
    assert ask(rules, 15.0, key="bea") is None
    assert ask(rules, 15.0, on_radio=False) is None
    assert ask(rules, 60.0) is None
    assert ask(rules, 60.0) is not None


def test_slow_mode_is_each_person_s_in_each_room_and_holds_back_no_taking_back() -> None:
    rules = PageRules(Pace(slow_s=32))
    assert rules.notice("town") == "slow mode: one line in 32 s"
    assert ask(rules, 0.0, on_radio=False) is None
    assert ask(rules, 8.0, on_radio=False) == Refusal(
        reason="slow mode: one line in 32 s; again in 24 s", retry_after_s=24.0
    )
    assert ask(rules, 8.0, room="warnings", on_radio=False) is None
    assert ask(rules, 8.0, said=Redaction(target=RemoteId("web:x"))) is None
    assert ask(rules, 32.0, on_radio=False) is None


def test_what_slow_mode_refuses_takes_nothing_of_the_pace_on_radio() -> None:
    rules = PageRules(Pace(radio_s=60, radio_burst=2, slow_s=1))
    assert [ask(rules, at) is None for at in (0.0, 0.1, 0.2, 1.0)] == [True, False, False, True]


def test_who_is_muted_is_told_so_and_nothing_is_counted() -> None:
    rules = PageRules(Pace(slow_s=30))
    assert rules.judge("ali", "town", HELLO, 0.0, silent="muted", on_radio=True) == Refusal(reason="muted")
    back = Redaction(target=RemoteId("web:x"))
    assert rules.judge("ali", "town", back, 0.0, silent="muted", on_radio=True) is None
    assert ask(rules, 0.0) is None
