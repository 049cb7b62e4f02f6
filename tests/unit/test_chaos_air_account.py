# SPDX-License-Identifier: GPL-3.0-or-later
"""What the radio never handed over is told apart from what the gateway lost."""

from __future__ import annotations

from tests.chaos.air_account import UNJOURNALLED, AirAccount, Offer


class Desk:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.account = AirAccount(now_s=lambda: self.now_s)

    def causes(self, *times: float, from_away: bool = False) -> tuple[dict[str, int], int]:
        """Judge packets said at these times that aren't in the journal: counts by cause, and how many have none."""
        offers = [
            Offer(stream="radio/Town>home/river", number=n, sender=1, id=n, at_s=at_s, from_away=from_away)
            for n, at_s in enumerate(times)
        ]
        causes, unexplained = self.account.why_not_accepted(offers)
        return dict(causes), len(unexplained)


def test_a_packet_that_is_missing_for_no_reason_is_not_explained_away() -> None:
    assert Desk().causes(1.0, 50.0) == ({}, 2)


def test_only_what_was_said_around_a_kill_is_unjournalled() -> None:
    desk = Desk()
    desk.now_s = 10.0
    desk.account.killed()

    assert desk.causes(9.5, 8.0, 12.0) == ({UNJOURNALLED: 1}, 2)


def test_what_was_said_while_the_line_was_bad_is_the_lines() -> None:
    desk = Desk()
    desk.now_s = 10.0
    with desk.account.line_is_bad():
        desk.account.killed()
        desk.now_s = 12.0

    causes, unexplained = desk.causes(10.0, 11.0, 30.0)

    assert list(causes.values()) == [2]
    assert UNJOURNALLED not in causes
    assert unexplained == 1


def test_what_the_radio_kept_for_a_gateway_that_was_away_is_at_risk_when_it_is_handed_over() -> None:
    desk = Desk()
    desk.now_s = 10.0
    desk.account.has_client(False)
    desk.now_s = 20.0
    desk.account.has_client(True)
    with desk.account.line_is_bad():
        desk.now_s = 21.0

    causes, unexplained = desk.causes(11.0, 12.0, 5.0)

    assert list(causes.values()) == [2]
    assert unexplained == 1


def test_a_node_that_is_away_explains_its_own_silence_only() -> None:
    desk = Desk()
    with desk.account.node_is_away():
        pass

    assert desk.causes(0.0, from_away=True) == ({"said out of range": 1}, 0)
    assert desk.causes(0.0) == ({}, 1)


def test_the_radios_memory_explains_as_many_as_it_displaced_or_lost_at_a_restart() -> None:
    desk = Desk()
    desk.account.overflowed = 1
    desk.account.rebooted({"unsent": 0, "unfetched": 1})

    assert desk.causes(1.0, 2.0, 3.0) == ({"lost in the radio's memory": 2}, 1)
