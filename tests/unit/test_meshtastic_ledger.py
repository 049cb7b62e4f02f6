# SPDX-License-Identifier: GPL-3.0-or-later
"""What was on the air within the hour: reserved while it may still be repeated, settled when that is known."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from bridges.meshtastic.allowance import Allowance, Cost, NoRoom, crowded_s, drain_s, room
from bridges.meshtastic.ledger import WINDOW_S, Ledger, Reservation

GAP_S = 8.0
EU_868 = Allowance.of(10.0, None)


def held(at: float, ms: int = 1000, tries: int = 3) -> Reservation:
    return Reservation(at=at, ms=ms, tries=tries, gap_s=GAP_S, until=at + 60)


def cost(ms: int, tries: int = 3) -> Cost:
    return Cost(ms=ms, tries=tries, gap_s=GAP_S)


def full(ledger: Ledger, wanted: Cost, now: float, *, others_ms: int = 0, is_emergency: bool = False) -> NoRoom | None:
    return room(ledger, EU_868, wanted, others_ms=others_ms, now=now, is_emergency=is_emergency)


def test_what_may_be_repeated_counts_as_if_it_were_until_it_is_known():
    ledger = Ledger()
    ledger.reserve(1, held(0.0))

    assert ledger.used_ms(1.0) == 3000
    ledger.settle(1, 2.0)
    assert ledger.used_ms(2.0) == 1000


def test_what_was_heard_late_had_the_time_to_be_sent_again():
    ledger = Ledger()
    for packet, after_s in ((1, 7.9), (2, 8.1), (3, 16.1), (4, 59.0)):
        ledger.reserve(packet, held(0.0, ms=10**packet))
        ledger.settle(packet, after_s)

    assert ledger.used_ms(60.0) == 10 + 2 * 100 + 3 * 1000 + 3 * 10_000


def test_what_nobody_relayed_was_sent_as_often_as_that_is_done():
    ledger = Ledger()
    ledger.reserve(1, held(0.0, tries=5))
    ledger.settle(1, 25.0, is_final=True)

    assert ledger.used_ms(25.0) == 5000


def test_what_the_radio_refused_costs_nothing():
    ledger = Ledger()
    ledger.reserve(1, held(0.0))
    ledger.release(1)

    assert ledger.used_ms(0.0) == 0


def test_what_nothing_was_ever_said_of_counts_in_full():
    ledger = Ledger()
    ledger.reserve(1, held(0.0))

    assert ledger.used_ms(61.0) == 3000
    assert not ledger.is_undecided
    assert ledger.used_ms(60.0 + WINDOW_S) == 0


def test_the_same_packet_written_again_is_counted_once():
    ledger = Ledger()
    ledger.reserve(1, held(0.0))
    ledger.reserve(1, held(5.0))

    assert ledger.used_ms(6.0) == 3000
    ledger.settle(1, 8.5)
    assert ledger.used_ms(8.5) == 2000, "since it was first written it may have been sent twice"


def test_an_hour_later_it_is_forgotten():
    ledger = Ledger()
    ledger.spend(1000, 10.0)

    assert ledger.used_ms(10.0 + WINDOW_S - 0.1) == 1000
    assert ledger.used_ms(10.0 + WINDOW_S) == 0


def test_a_default_share_is_a_twentieth_or_half_of_what_the_law_allows():
    assert Allowance.of(100.0, None).share_ms == 180_000
    assert Allowance.of(10.0, None).share_ms == 180_000
    assert Allowance.of(2.5, None).share_ms == 45_000


def test_a_share_of_ones_own_stays_within_the_law():
    assert Allowance.of(10.0, 8.0).share_ms == 288_000
    assert Allowance.of(10.0, 50.0).share_ms == 360_000


def test_an_emergency_may_take_what_the_law_allows_and_a_quarter_where_there_is_none():
    assert Allowance.of(10.0, None).emergency_ms == 360_000
    assert Allowance.of(100.0, None).emergency_ms == 900_000
    assert Allowance.of(100.0, 60.0).emergency_ms == 2_160_000


def test_a_full_hour_says_how_long_it_stays_full():
    ledger = Ledger()
    ledger.spend(1000, 0.0)
    ledger.spend(178_500, 100.0)

    refused = full(ledger, cost(1000, tries=1), 200.0)

    assert refused == NoRoom(
        for_s=WINDOW_S - 200, reason="the airtime budget is used up: 180 s of 180 s in the last hour"
    )
    assert full(ledger, cost(1000, tries=1), WINDOW_S) is None


def test_an_emergency_goes_where_the_share_is_used_up_but_not_beyond_the_law():
    ledger = Ledger()
    ledger.spend(180_000, 0.0)
    assert full(ledger, cost(1000), 1.0) is not None
    assert full(ledger, cost(1000), 1.0, is_emergency=True) is None

    ledger.spend(178_000, 1.0)
    assert full(ledger, cost(1000), 1.0, is_emergency=True) is not None


def test_what_our_node_relays_for_others_counts_before_the_law_only():
    assert full(Ledger(), cost(1000), 0.0, others_ms=356_000) is None
    refused = full(Ledger(), cost(1000), 0.0, others_ms=358_000)
    assert refused is not None
    assert "relays" in refused.reason


def test_one_that_is_longer_than_the_hours_share_never_goes_and_one_that_fits_once_goes_alone():
    allowed = Allowance.of(1.0, None)  # 18 s of an hour

    never = room(Ledger(), allowed, cost(19_000, tries=1), others_ms=0, now=0.0, is_emergency=False)
    assert never is not None
    assert math.isinf(never.for_s)
    assert room(Ledger(), allowed, cost(12_000), others_ms=0, now=0.0, is_emergency=False) is None


def test_what_its_repeats_would_take_beyond_the_law_is_not_sent():
    never = room(Ledger(), Allowance.of(1.0, 1.0), cost(12_700), others_ms=0, now=0.0, is_emergency=False)
    assert never is not None
    assert math.isinf(never.for_s)


def test_much_at_once_is_spread_over_the_hour():
    ledger = Ledger()
    for number in range(16):
        assert crowded_s(ledger, EU_868, 1000, number * 2.3) == 0.0, number
        ledger.spend(1000, number * 2.3)

    wait_s = crowded_s(ledger, EU_868, 1000, 36.0)
    assert 0 < wait_s < 20
    assert crowded_s(ledger, EU_868, 1000, 36.0 + wait_s) < 0.001


def test_a_queue_drains_at_the_shares_pace():
    ledger = Ledger()
    assert drain_s(ledger, EU_868, 0, 0.0, one_ms=1000) == 0.0
    assert drain_s(ledger, EU_868, 15_000, 0.0, one_ms=1000) == 15.0, (
        "what may go at once is on the air as long as it is"
    )
    assert drain_s(ledger, EU_868, 65_000, 0.0, one_ms=1000) == 1000, "50 s at 5 %"
    assert drain_s(ledger, EU_868, 180_000, 0.0, one_ms=1000) > 3000
    assert drain_s(ledger, EU_868, 10 * 180_000, 0.0, one_ms=1000) >= 10 * WINDOW_S

    ledger.spend(180_000, 0.0)
    assert drain_s(ledger, EU_868, 1000, 0.0, one_ms=1000) == WINDOW_S


def test_what_is_kept_is_never_older_than_it_was():
    ledger = Ledger()
    ledger.spend(500, 0.0)
    ledger.spend(700, 30.0)
    ledger.spend(900, 100.0)
    ledger.reserve(1, held(110.0))
    kept = ledger.minutes(119.0)
    assert kept == [(0, 3900), (60, 1200)]

    later = Ledger()
    later.restore(kept, 5.0)
    assert later.used_ms(5.0) == 5100
    assert later.used_ms(5.0 - 60 + WINDOW_S) == 3900


steps = st.lists(
    st.tuples(
        st.floats(0.5, 300.0),  # passes before the next
        st.integers(35, 4000),  # takes on the air
        st.sampled_from(["relayed at once", "relayed late", "not relayed", "nothing said", "refused"]),
        st.booleans(),  # wants an acknowledgement
    ),
    max_size=120,
)


def transmissions(at: float, ms: int, outcome: str, tries: int) -> list[tuple[float, int]]:
    """What a radio really puts on the air, no sooner than the firmware does."""
    times = {"relayed at once": 1, "relayed late": 2, "refused": 0}.get(outcome, 3)
    return [(at + 0.1 + number * (GAP_S + 0.5), ms) for number in range(min(times, tries))]


@given(steps)
def test_whatever_is_sent_and_however_often_repeated_no_hour_has_more_than_its_share(steps):
    ledger, now, on_air = Ledger(), 0.0, []
    open_: list[tuple[float, int, str, int]] = []
    for number, (pause, ms, outcome, wants_ack) in enumerate(steps):
        now += pause
        for due, packet, said, _ in [each for each in open_ if each[0] <= now]:
            if said == "refused":
                ledger.release(packet)
            else:
                ledger.settle(packet, due, is_final=said == "not relayed")
        open_ = [each for each in open_ if each[0] > now]
        wanted = cost(ms * 10, tries=3 if wants_ack else 1)
        if full(ledger, wanted, now) is not None:
            continue
        ledger.reserve(number, Reservation(at=now, ms=wanted.ms, tries=wanted.tries, gap_s=GAP_S, until=now + 60))
        on_air += transmissions(now, wanted.ms, outcome, wanted.tries)
        verdict_s = {"relayed at once": 2.0, "relayed late": 12.0, "not relayed": 27.0, "refused": 0.2}.get(outcome)
        if verdict_s is not None and wants_ack:
            open_.append((now + verdict_s, number, outcome, ms))
    for end, _ in on_air:
        used = sum(ms for at, ms in on_air if end - WINDOW_S < at <= end)
        assert used <= EU_868.share_ms * 1.01


@given(steps)
def test_who_waits_as_long_as_is_said_can_go(steps):
    ledger, now = Ledger(), 0.0
    for pause, ms, _, _ in steps:
        now += pause
        ledger.spend(ms * 5, now)
    refused = full(ledger, cost(2000), now)
    if refused is not None:
        assert full(ledger, cost(2000), now + refused.for_s + 0.001) is None
