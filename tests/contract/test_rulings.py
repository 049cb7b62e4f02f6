# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.rulings on a real journal: what chats decide holds at once, after restarts, and no further than it may."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from gateway.clock import ManualClock
from gateway.journal import Decision
from gateway.model import Declined, Level, SenderId
from gateway.permissions import Permissions
from gateway.rulings import MUTE, PERMISSION, Rulings
from tests.contract.journal_desk import START_MS, opened

FILE = {
    "*": Level.READ,
    "@*:ops.org": Level.ADMIN,
    "@op:x": Level.ADMIN,
    "@cmd:x": Level.COMMANDS,
    "!bad": Level.NONE,
}
OP, ALI, CMD = SenderId("@op:x"), SenderId("@ali:x"), SenderId("@cmd:x")


@asynccontextmanager
async def decided(folder, *, clock=None, file=None):
    clock = clock or ManualClock(START_MS)
    async with opened(folder, clock=clock) as journal:
        rulings = Rulings(Permissions.of(FILE if file is None else file), journal.decisions, clock)
        await rulings.load()
        yield rulings


async def test_what_a_chat_allows_holds_at_once_and_after_a_restart(tmp_path):
    async with decided(tmp_path) as rulings:
        assert rulings.level_of(ALI) is Level.READ
        assert await rulings.allow("@ali:x", Level.TRANSMIT, by=OP)
        assert rulings.level_of(ALI) is Level.TRANSMIT
    async with decided(tmp_path, clock=ManualClock(START_MS + 5)) as rulings:
        assert rulings.level_of(ALI) is Level.TRANSMIT
        (ruling,) = [one for one in rulings.rulings() if one.rule.in_chat]
        assert (ruling.by, ruling.at_ms) == (OP, START_MS)
        assert await rulings.forget("@ali:x", by=OP)
        assert rulings.level_of(ALI) is Level.READ
        assert not await rulings.forget("@ali:x", by=OP)


async def test_allowing_the_same_again_changes_neither_who_nor_when(tmp_path):
    clock = ManualClock(START_MS)
    async with decided(tmp_path, clock=clock) as rulings:
        await rulings.allow("@ali:x", Level.ADMIN, by=OP)
        clock.advance(60)

        assert not await rulings.allow("@ali:x", Level.ADMIN, by=SenderId("@other:ops.org"))
        assert [(one.by, one.at_ms) for one in rulings.rulings()][-1] == (OP, START_MS)


@pytest.mark.parametrize(
    ("pattern", "level", "by", "why"),
    [
        ("@ali:x", Level.ADMIN, CMD, "your own permission is commands: you can't give admin"),
        ("*", Level.ADMIN, OP, "only one id at a time is made an admin"),
        ("@op:x", Level.READ, OP, "only the file changes that"),
        ("!bad", Level.READ, OP, "only the file changes that"),
        ("@a:ops.org", Level.NONE, OP, "only the file changes that"),
        ("@*:ops.org", Level.NONE, OP, "only the file changes that"),
        ("@x:\n", Level.READ, OP, "neither an id nor a pattern"),
        ("", Level.READ, OP, "neither an id nor a pattern"),
        ("é" * 128, Level.READ, OP, "neither an id nor a pattern"),
        ("*a*a*a*a*b", Level.READ, OP, "4 wildcards at most"),
    ],
)
async def test_a_chat_can_not_go_further_than_the_file_and_its_own_permission(tmp_path, pattern, level, by, why):
    async with decided(tmp_path) as rulings:
        with pytest.raises(Declined, match=why):
            await rulings.allow(pattern, level, by=by)

        assert rulings.made_in_chats == 0


async def test_when_the_file_names_an_id_later_its_word_stands_and_the_chats_is_told_as_overruled(tmp_path):
    async with decided(tmp_path) as rulings:
        await rulings.allow("@ali:x", Level.ADMIN, by=OP)
    async with decided(tmp_path, file=FILE | {"@ali:x": Level.NONE}) as rulings:
        assert rulings.level_of(ALI) is Level.NONE
        assert [one.rule.overruled for one in rulings.rulings() if one.rule.in_chat] == [True]


async def test_a_level_this_release_does_not_know_is_left_out_and_the_rest_holds(tmp_path):
    async with opened(tmp_path) as journal:
        for key, level in (("@ali:x", "emperor"), ("@bea:x", "commands")):
            await journal.decisions.keep(
                Decision(kind=PERMISSION, key=key, by=OP, at_ms=START_MS, value={"level": level})
            )
    async with decided(tmp_path) as rulings:
        assert rulings.level_of(ALI) is Level.READ
        assert rulings.level_of(SenderId("@bea:x")) is Level.COMMANDS


async def test_a_mute_for_a_time_ends_by_itself_to_the_second(tmp_path):
    clock = ManualClock(START_MS)
    async with decided(tmp_path, clock=clock) as rulings:
        await rulings.mute(ALI, for_s=3600, by=CMD)
        clock.advance(3599)
        assert rulings.muted(ALI) == "the sender is muted, for another 1 s"
        clock.advance(1)
        assert rulings.muted(ALI) == ""
        assert rulings.mutes() == []
        assert not await rulings.unmute(ALI, by=CMD)


async def test_a_mute_holds_over_a_restart_for_what_is_left_of_it(tmp_path):
    async with decided(tmp_path) as rulings:
        await rulings.mute(ALI, for_s=3600, by=CMD)
        await rulings.mute(SenderId("!a1b2c301"), for_s=None, by=CMD)
    async with decided(tmp_path, clock=ManualClock(START_MS + 3_000_000)) as rulings:
        assert rulings.muted(ALI) == "the sender is muted, for another 10 min"
    async with decided(tmp_path, clock=ManualClock(START_MS + 3_600_000)) as rulings:
        assert rulings.muted(ALI) == ""
        assert rulings.muted(SenderId("!a1b2c301")) == "the sender is muted"
    async with opened(tmp_path) as journal:
        assert [one.key for one in await journal.decisions.of(MUTE)] == ["!a1b2c301"]


async def test_a_clock_that_is_set_ends_no_mute_early_and_makes_none_longer(tmp_path):
    clock = ManualClock(START_MS)
    async with decided(tmp_path, clock=clock) as rulings:
        await rulings.mute(ALI, for_s=3600, by=CMD)
        clock.adopt(10**12)
        await rulings.mute(SenderId("!a1b2c301"), for_s=60, by=CMD)
        assert rulings.muted(ALI)
        clock.advance(3600)
        assert not rulings.muted(ALI)
    async with decided(tmp_path, clock=ManualClock(0)) as rulings:
        assert rulings.muted(SenderId("!a1b2c301")) == "the sender is muted, for another 1 min"


async def test_when_the_journal_has_followed_a_clock_that_was_set_ages_are_right_and_mutes_as_long_as_before(tmp_path):
    clock = ManualClock(60_000)
    async with opened(tmp_path, clock=clock) as journal:
        rulings = Rulings(Permissions.of(FILE), journal.decisions, clock)
        await rulings.load()
        await rulings.mute(ALI, for_s=3600, by=CMD)
        await rulings.allow("@bea:x", Level.READ, by=CMD)
        clock.advance(600)
        clock.adopt(START_MS)
        await journal.upkeep.shift(START_MS)
        await rulings.dated_anew()

        ages = {clock.now_ms() - one.at_ms for one in (*rulings.mutes(), rulings.rulings()[-1])}
        assert ages == {600_000}
        assert rulings.muted(ALI) == "the sender is muted, for another 50 min"
    async with decided(tmp_path, clock=clock) as rulings:
        assert rulings.muted(ALI) == "the sender is muted, for another 50 min"


async def test_a_mute_of_a_box_whose_clock_was_not_set_yet_holds_for_its_time_from_the_next_start(tmp_path):
    async with decided(tmp_path, clock=ManualClock(5_000)) as rulings:
        await rulings.mute(ALI, for_s=3600, by=CMD)
    for at_ms, left in ((START_MS, "1 h 0 min"), (START_MS + 1_800_000, "30 min")):
        async with decided(tmp_path, clock=ManualClock(at_ms)) as rulings:
            assert rulings.muted(ALI) == f"the sender is muted, for another {left}"


async def test_nobody_mutes_themselves_or_who_may_more_and_the_muted_do_not_unmute_themselves(tmp_path):
    async with decided(tmp_path) as rulings:
        with pytest.raises(Declined, match="may more than you"):
            await rulings.mute(OP, for_s=None, by=CMD)
        with pytest.raises(Declined, match="just say nothing"):
            await rulings.mute(CMD, for_s=None, by=CMD)
        await rulings.mute(CMD, for_s=None, by=OP)
        with pytest.raises(Declined, match="somebody else"):
            await rulings.unmute(CMD, by=CMD)
        assert rulings.muted(CMD)
        await rulings.mute(OP, for_s=None, by=SenderId("@other:ops.org"))
        assert await rulings.unmute(OP, by=OP)
