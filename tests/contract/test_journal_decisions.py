# SPDX-License-Identifier: GPL-3.0-or-later
"""What people decided in chats is in the journal, with who and when, until they take it back."""

from __future__ import annotations

import pytest

from gateway.clock import ManualClock
from gateway.journal import Decision, decisions
from gateway.model import Declined, SenderId
from tests.contract.journal_desk import START_MS, opened

ALI = SenderId("@ali:example.org")


def made(key, at_ms=START_MS, **value):
    return Decision(kind="route", key=key, by=ALI, at_ms=at_ms, value=value)


async def test_what_was_decided_is_there_after_a_restart_the_oldest_first(tmp_path):
    later, earlier = made("b", START_MS, direct=True), made("a", START_MS - 5, ends=["radio/Ärger", "home/!x"])
    async with opened(tmp_path) as journal:
        await journal.decisions.keep(later)
        await journal.decisions.keep(earlier)
    async with opened(tmp_path) as journal:
        assert await journal.decisions.of("route") == (earlier, later)
        assert await journal.decisions.of("mute") == ()


async def test_a_new_decision_takes_the_place_of_the_one_with_its_key(tmp_path):
    async with opened(tmp_path) as journal:
        await journal.decisions.keep(made("a", level="read"))
        await journal.decisions.keep(made("a", level="admin"))
        assert [one.value for one in await journal.decisions.of("route")] == [{"level": "admin"}]


async def test_what_is_taken_back_is_gone_and_taking_it_back_again_says_so(tmp_path):
    async with opened(tmp_path) as journal:
        await journal.decisions.keep(made("a"))
        assert await journal.decisions.drop("route", "a")
        assert not await journal.decisions.drop("route", "a")
        assert await journal.decisions.of("route") == ()


async def test_more_than_can_be_kept_are_declined_and_those_there_can_still_change(tmp_path, monkeypatch):
    monkeypatch.setattr(decisions, "MOST", 2)
    async with opened(tmp_path) as journal:
        await journal.decisions.keep(made("a"))
        await journal.decisions.keep(made("b"))
        with pytest.raises(Declined, match="take one back first"):
            await journal.decisions.keep(made("c"))
        await journal.decisions.keep(made("b", direct=True))
        assert [one.key for one in await journal.decisions.of("route")] == ["a", "b"]


@pytest.mark.parametrize(("first_ms", "step_ms"), [(60_000, START_MS), (START_MS, -86_400_000), (START_MS, 3_600_000)])
async def test_a_clock_that_is_set_takes_along_what_was_decided_by_it_and_nothing_from_before(
    tmp_path, first_ms, step_ms
):
    before = made("before", START_MS - 5 * 86_400_000)
    async with opened(tmp_path) as journal:
        await journal.decisions.keep(before)
    clock = ManualClock(first_ms)
    async with opened(tmp_path, clock=clock) as journal:
        clock.advance(30)
        await journal.decisions.keep(made("now", clock.now_ms()))
        clock.advance(30)
        clock.adopt(step_ms)
        await journal.decisions.keep(made("after", clock.now_ms()))
        await journal.upkeep.shift(step_ms)

        kept = {one.key: one.at_ms for one in await journal.decisions.of("route")}
        assert kept == {"before": before.at_ms, "now": clock.now_ms() - 30_000, "after": clock.now_ms()}
