# SPDX-License-Identifier: GPL-3.0-or-later
"""What one box decides of people at pages holds at every box of the community: real logs, links and journals."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bridges.lan import meshed
from bridges.lan.hall import Refusal
from bridges.lan.meshed import MeshBridge
from bridges.lan.pairing import new_code
from gateway.clock import SystemClock
from gateway.journal import Journal, Retention
from gateway.model import Community, Declined, Level, SenderId
from gateway.permissions import Permissions
from gateway.rulings import Rulings
from tests.contract.lan_box import TOWN, join, said
from tests.contract.test_lan_meshed import Box
from tests.lan_boxes import until

OP = SenderId("@op:x")
SPAM = SenderId("~spam@hilltop")


@dataclass
class Gateway:
    bridge: MeshBridge
    rulings: Rulings


async def started(stack: AsyncExitStack, folder: Path, name: str) -> Gateway:
    box = Box(folder / name, name, sync="127.0.0.1:0")
    clock = SystemClock()
    journal = await stack.enter_async_context(Journal(folder / f"{name}.journal", clock=clock, retention=Retention()))
    rulings = Rulings(Permissions.of({"*": Level.TRANSMIT, OP: Level.ADMIN}), journal.decisions, clock)
    await rulings.load()
    box.context = replace(
        box.context,
        level_of=rulings.level_of,
        muted=rulings.muted,
        named=rulings.named,
        slow=lambda room: None if (one := rulings.slow_of(replace(TOWN, conversation=room))) is None else one.every_s,
    )
    bridge = box.meshed()
    assert isinstance(bridge, Community)
    rulings.community = bridge
    await stack.enter_async_context(bridge)
    return Gateway(bridge, rulings)


async def invite(host: Gateway, guest: Gateway) -> None:
    mine = host.bridge.settings()
    code = new_code(mine["box"], mine["addresses"], secrets.token_bytes)
    await host.bridge.adjust({f"invite.{code.key.public_key().public_bytes_raw().hex()}": "60"})
    await guest.bridge.adjust({"join": str(code)})
    await until(lambda: guest.bridge.mesh.box in host.bridge.mesh.live())


@pytest.fixture
async def boxes(tmp_path: Path) -> AsyncIterator[tuple[Gateway, Gateway]]:
    async with AsyncExitStack() as stack:
        harbour, hilltop = [await started(stack, tmp_path, name) for name in ("harbour", "hilltop")]
        await invite(harbour, hilltop)
        yield harbour, hilltop


async def test_a_mute_made_at_one_box_holds_at_the_page_of_another_and_either_takes_it_back(
    boxes: tuple[Gateway, Gateway],
) -> None:
    harbour, hilltop = boxes
    spam = join(hilltop.bridge, "spam")
    await said(hilltop.bridge, spam, "buy!")
    await harbour.rulings.mute(SPAM, for_s=3600, by=OP, why="sells")
    assert harbour.rulings.muted(SPAM)
    await until(lambda: bool(hilltop.rulings.muted(SPAM)))
    answer = await hilltop.bridge.hall.say(spam, "town", "buy!")
    assert isinstance(answer, Refusal)
    assert answer.reason.startswith("the sender is muted, for another")
    assert [(one.sender, one.box) for one in hilltop.rulings.mutes()] == [(SPAM, "harbour")]

    assert await hilltop.rulings.unmute(SPAM, by=OP)
    await said(hilltop.bridge, spam, "sorry")
    await until(lambda: not harbour.rulings.muted(SPAM))
    await harbour.rulings.keep_up()
    await hilltop.rulings.keep_up()
    assert [(one.what, one.where) for one in await harbour.rulings.audit()] == [
        ("unmute", "box hilltop"),
        ("mute", ""),
    ]
    assert [(one.what, one.where, one.why) for one in await hilltop.rulings.audit()] == [("unmute", "", "")]


async def test_a_ban_and_a_slow_room_hold_everywhere_and_transmit_permission_nowhere_else(
    boxes: tuple[Gateway, Gateway],
) -> None:
    harbour, hilltop = boxes
    await harbour.rulings.mute(SPAM, for_s=None, by=OP, ban=True)
    await harbour.rulings.slow(TOWN, 30, by=OP)
    await harbour.rulings.allow("~ali@hilltop", Level.TRANSMIT, by=OP)
    await until(lambda: hilltop.rulings.slow_of(TOWN) is not None)
    assert hilltop.rulings.muted(SPAM) == "the sender is banned"
    assert hilltop.rulings.level_of(SenderId("~ali@hilltop")) is Level.READ
    (room,) = [one for one in hilltop.bridge.hall.rooms() if one.name == "town"]
    assert room.notice == "slow mode: one line in 30 s"
    ali = join(hilltop.bridge, "ali")
    await said(hilltop.bridge, ali, "one")
    again = await hilltop.bridge.hall.say(ali, "town", "two")
    assert isinstance(again, Refusal)
    assert again.retry_after_s
    with pytest.raises(Declined, match="banned"):
        await hilltop.rulings.mute(SPAM, for_s=5, by=SenderId("@somebody:x"))
    await hilltop.rulings.slow(TOWN, 0, by=OP)
    await until(lambda: (found := harbour.rulings.slow_of(TOWN)) is not None and found.every_s == 0)
    await said(hilltop.bridge, ali, "two")


async def test_what_a_box_decided_that_was_put_out_counts_no_more(boxes: tuple[Gateway, Gateway]) -> None:
    harbour, hilltop = boxes
    await harbour.rulings.mute(SPAM, for_s=None, by=OP)
    await until(lambda: bool(hilltop.rulings.muted(SPAM)))
    await hilltop.rulings.unmute(SPAM, by=OP)
    await hilltop.rulings.mute(SenderId("~ali@harbour"), for_s=None, by=OP)
    await until(lambda: bool(harbour.rulings.muted(SenderId("~ali@harbour"))))
    assert not harbour.rulings.muted(SPAM)
    await harbour.bridge.adjust({"remove.hilltop": "yes"})
    assert not harbour.rulings.muted(SenderId("~ali@harbour"))
    assert harbour.rulings.muted(SPAM)  # what that box overruled stands again


async def test_while_the_log_is_closed_the_same_is_known_of_the_others_as_before(
    boxes: tuple[Gateway, Gateway],
) -> None:
    harbour, hilltop = boxes
    ali = SenderId("~ali@harbour")
    await hilltop.rulings.mute(ali, for_s=None, by=OP)
    await until(lambda: bool(harbour.rulings.muted(ali)))
    await harbour.rulings.keep_up()
    for is_removed in (False, True):
        if is_removed:
            await harbour.bridge.adjust({"remove.hilltop": "yes"})
        await harbour.bridge.__aexit__(None, None, None)
        try:
            assert bool(harbour.rulings.muted(ali)) is not is_removed
            assert [one.box for one in harbour.rulings.mutes()] == ([] if is_removed else ["hilltop"])
            await harbour.rulings.keep_up()
            assert len(await harbour.rulings.audit()) == 1  # not once more under another name
        finally:
            await harbour.bridge.__aenter__()


async def test_what_was_decided_before_a_box_joined_is_told_to_the_others_after(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        harbour, hilltop = [await started(stack, tmp_path, name) for name in ("harbour", "hilltop")]
        await hilltop.rulings.mute(SPAM, for_s=None, by=OP)
        await invite(harbour, hilltop)
        await hilltop.rulings.keep_up()
        await until(lambda: bool(harbour.rulings.muted(SPAM)))


async def test_decisions_are_known_again_after_a_restart_however_much_was_said_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meshed, "RECALLED", 0)
    async with AsyncExitStack() as stack:
        harbour = await started(stack, tmp_path, "harbour")
        await harbour.rulings.mute(SPAM, for_s=None, by=OP)
        again = replace(harbour.bridge._context)
    async with MeshBridge(again) as bridge:
        assert [(one.about, one.is_ours) for one in bridge.verdicts()] == [(SPAM, True)]
