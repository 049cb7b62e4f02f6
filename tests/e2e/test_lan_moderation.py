# SPDX-License-Identifier: GPL-3.0-or-later
"""Moderation through the real page and the real command line: two gateways as processes, joined by one invitation."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.e2e.lan_process import WITHIN_S, LanProcess, PageUser

AUDIT = ("slow", "approve", "refuse", "mute", "unmute", "ban", "unban", "silence", "unsilence")


@pytest.fixture
def folder() -> AsyncIterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="cb-"))  # a short path: it holds sockets
    yield made
    shutil.rmtree(made, ignore_errors=True)


async def refused(user: PageUser, text: str, status: int) -> str:
    """Say something until it is refused; return the page that says why."""
    async with asyncio.timeout(WITHIN_S):
        while (said := await user.try_to_say(text)).status_code != status:
            await asyncio.sleep(0.2)
    return said.text


async def once(look: Callable[[], object]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await look():  # type: ignore[misc]
            await asyncio.sleep(0.2)


async def test_an_operator_s_orders_hold_at_the_page_at_every_box_and_are_all_in_the_audit(folder: Path) -> None:
    harbour = LanProcess(folder / "a", "harbour", syncs=True)
    hilltop = LanProcess(folder / "b", "hilltop", syncs=True, permissions='"*" = "read"\n')
    async with harbour.box, hilltop.box:
        await hilltop.let_in(harbour)

        async with hilltop.person("ali") as ali, hilltop.person("bea") as bea:
            # Slow mode, decided at the other box, is told in the room and holds.
            assert "one line in 10 min" in await harbour.command(
                "slow", "lan/town", "10m", "because", "it", "is", "loud"
            )
            await once(lambda: ali.page_holds("slow mode: one line in 600 s"))
            await ali.say("one")
            assert "again in" in await refused(ali, "two", 429)
            assert "as they like" in await hilltop.command("slow", "lan/town", "off")
            await ali.say("two")

            # Asking for the radio.
            await ali.say("/radio")
            await bea.say("/radio")
            assert await ali.page_holds("has not answered yet")
            asking = json.loads(await hilltop.command("approvals", "-o", "json"))
            assert [one["sender"] for one in asking] == ["~ali@hilltop", "~bea@hilltop"]
            await hilltop.order("approve ~ali@hilltop")
            await hilltop.order("refuse ~bea@hilltop because unknown")
            assert await ali.page_holds("you asked to be heard on radio, and you may")
            assert await bea.page_holds("said no")

            # A mute and a ban of the other box.
            await harbour.order("mute ~bea@hilltop for 1h")
            assert "you are muted for another" in await refused(bea, "buy!", 422)
            await hilltop.order("unmute ~bea@hilltop")
            await bea.say("sorry")
            await harbour.order("ban ~bea@hilltop")
            assert "you are banned" in await refused(bea, "buy!", 422)
            await once(lambda: holds(hilltop, "mutes", "at box harbour"))
            await hilltop.order("unban ~bea@hilltop")
            await bea.say("thanks")

            await hilltop.order("silence for 1h")
            await hilltop.order("unsilence")

        here = json.loads(await hilltop.command("audit", "-o", "json"))
        there = json.loads(await harbour.command("audit", "-o", "json"))
        assert {one["what"] for one in [*here, *there]} >= set(AUDIT)
        assert ("refuse", "~bea@hilltop", "the operator", "command line", "unknown") in [
            (one["what"], one["about"], one["by"], one["where"], one["why"]) for one in here
        ]


async def holds(box: LanProcess, command: str, words: str) -> bool:
    return words in await box.command(command)
