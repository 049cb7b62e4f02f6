# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.clock import ManualClock
from gateway.journal import Change
from gateway.journal.aging import STEADY_S, Aging
from gateway.model import Address, Delivery, DeliveryId, Message, NativeId, Sender, SenderId, State, Text
from gateway.outbox.outbox import Buried, Done, Retry
from gateway.steps import as_of_now, epoch_ms, moved, moved_change, of_this_time
from tests.clocks import followed

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
IN_1970_MS = HOUR_MS


def said(received_ms: int) -> Message:
    return Message(
        native_id=NativeId("mt:1"),
        origin=Address.parse("radio/LongFast"),
        sender=Sender(id=SenderId("!a1b2c301"), name="Ali"),
        content=Text(body="hello"),
        received_ms=received_ms,
    )


def test_a_clocks_epoch_changes_by_a_step_and_by_nothing_else():
    clock = ManualClock(NOW_MS)
    before = epoch_ms(clock)
    clock.advance(12345.678)
    assert epoch_ms(clock) == before
    clock.step(-3 * DAY_MS)
    followed(clock)
    assert epoch_ms(clock) == before - 3 * DAY_MS


def test_what_is_scheduled_moves_with_the_clock_and_what_is_not_stays():
    one = DeliveryId("one")
    assert moved(Retry(id=one, at_ms=5), 10) == Retry(id=one, at_ms=15)
    assert moved(Done(id=one, awaiting_until_ms=5), 10) == Done(id=one, awaiting_until_ms=15)
    assert moved(Done(id=one), 10) == Done(id=one)
    assert moved(Buried(id=one, reason="no"), 10) == Buried(id=one, reason="no")
    assert moved_change(Change(id=one, state=State.SENT, at_ms=5), 10).at_ms == 15


@pytest.mark.parametrize(
    ("received_ms", "step_ms", "is_now"),
    [
        (IN_1970_MS, NOW_MS - IN_1970_MS - 2000, NOW_MS - 2000),  # waited two seconds while the network set the clock
        (NOW_MS + 3 * DAY_MS - 500, -3 * DAY_MS, NOW_MS - 500),
        (NOW_MS - 500, NOW_MS - IN_1970_MS, NOW_MS - 500),  # came after the step
        (NOW_MS - HOUR_MS, -3 * DAY_MS, NOW_MS - HOUR_MS),
        (NOW_MS - 2 * HOUR_MS - 3 * DAY_MS, 3 * DAY_MS, NOW_MS - 2 * HOUR_MS),
        (NOW_MS + 9 * DAY_MS, -DAY_MS, NOW_MS),  # set twice: nothing comes from the future
    ],
)
def test_a_message_that_waited_while_the_clock_was_set_is_as_old_as_it_was(received_ms, step_ms, is_now):
    assert as_of_now(said(received_ms), NOW_MS, step_ms).received_ms == is_now


@pytest.mark.parametrize("received_ms", [IN_1970_MS, NOW_MS + DAY_MS])
def test_what_another_clock_journalled_counts_as_received_now_and_keeps_its_time_to_live(received_ms):
    delivery = Delivery(message=said(received_ms), to=Address.parse("home/x"), expires_ms=received_ms + HOUR_MS)
    now = of_this_time(delivery, NOW_MS)
    assert (now.message.received_ms, now.expires_ms) == (NOW_MS, NOW_MS + HOUR_MS)
    assert of_this_time(replace(delivery, expires_ms=None), NOW_MS).expires_ms is None


@pytest.mark.parametrize(("received_ms", "now_ms"), [(NOW_MS - DAY_MS, NOW_MS), (IN_1970_MS, 2 * IN_1970_MS)])
def test_what_our_clock_journalled_keeps_its_times(received_ms, now_ms):
    delivery = Delivery(message=said(received_ms), to=Address.parse("home/x"), expires_ms=received_ms + HOUR_MS)
    assert of_this_time(delivery, now_ms) is delivery


def test_time_to_forget_goes_on_with_the_clock_and_follows_a_step_a_day_later():
    clock = ManualClock(NOW_MS)
    aging = Aging(clock, NOW_MS - 60_000)
    clock.advance(3600)
    assert aging.now_ms() == NOW_MS - 60_000 + HOUR_MS

    clock.step(8 * DAY_MS)
    aging.stepped(followed(clock))
    clock.advance(60)
    assert aging.now_ms() == NOW_MS + HOUR_MS
    clock.advance(STEADY_S - 61)
    assert aging.now_ms() < NOW_MS + 3 * DAY_MS
    clock.advance(1)
    assert aging.now_ms() == clock.now_ms()


def test_time_to_forget_is_never_ahead_of_the_clock():
    clock = ManualClock(NOW_MS)
    aging = Aging(clock, NOW_MS)
    clock.step(-3 * DAY_MS)
    aging.stepped(followed(clock))
    assert aging.now_ms() == NOW_MS - 3 * DAY_MS
    assert Aging(ManualClock(IN_1970_MS), NOW_MS).now_ms() == IN_1970_MS
    assert Aging(ManualClock(NOW_MS), 0).now_ms() == NOW_MS
