# SPDX-License-Identifier: GPL-3.0-or-later
"""What can befall three boxes in a row, and the account of it: all there, once, in order, and how soon."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from tests.lan_row import BoxProcess, Row

READY_S = 60.0
HEAL_WITHIN_S = 60.0
SHARED = "5a5a5a5a"
"""A node that both A and C hear."""
LINES = 10


class Account:
    """What was said in a row, and whether all boxes have it."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self._said: set[str] = set()
        self._own: dict[str, set[str]] = defaultdict(set)

    async def radio(self, box: BoxProcess, node: str, count: int = LINES) -> None:
        """Have a box's radio hear so many more packets of a node."""
        first = self._first(box, node)
        await box.ask("radio", node, first, count)
        texts = [f"{node} {number}" for number in range(first, first + count)]
        self._own[box.name].update(texts)
        self._said.update(texts)

    async def page(self, box: BoxProcess, nick: str, count: int = LINES) -> None:
        """Have somebody say so many more lines at a box's page."""
        first = self._first(box, nick)
        await box.ask("page", nick, first, count)
        self._said.update(f"{nick} {number}" for number in range(first, first + count))

    async def everybody(self) -> None:
        """Have every box hear a node and a person of its own, all at once."""

        async def both(box: BoxProcess) -> None:
            await self.radio(box, f"00c0ffe{box.name}")
            await self.page(box, f"ali{box.name}")

        await asyncio.gather(*(both(box) for box in self._row.boxes))

    async def equal(self, within_s: float) -> None:
        """Wait until all logs and pages have all."""
        count = len(self._said)
        await self._row.until(
            lambda states: (
                len({tuple(each["log"]) for each in states}) == 1
                and all(each["lines"] == count for each in states)
                and all(each["received"] == count - len(self._own[box.name]) for each, box in self._each(states))
            ),
            within_s,
        )

    async def check(self, *, replays: bool = False) -> None:
        """Nothing lost, nothing twice, each sender's in order; `replays`: a core may be told again what it knows."""
        for box in self._row.boxes:
            told = await box.ask("account")
            assert Counter(told["lines"]) == Counter(self._said), f"on {box.name}'s page"
            assert Counter(told["received"]) == Counter(self._said - self._own[box.name]), f"at {box.name}'s core"
            for kind in ("lines", "received"):
                _assert_in_order(told[kind], f"{box.name}'s {kind}")
            assert replays or not told["again"]
            assert not told["lost"]

    def _first(self, box: BoxProcess, sender: str) -> int:
        if sender == SHARED:
            return sum(text.startswith(f"{sender} ") for text in self._own[box.name])
        return sum(text.startswith(f"{sender} ") for text in self._said)

    def _each(self, states: list[dict[str, Any]]) -> list[tuple[dict[str, Any], BoxProcess]]:
        return list(zip(states, self._row.boxes, strict=True))


def _assert_in_order(texts: list[str], where: str) -> None:
    last: dict[str, int] = {}
    for text in texts:
        sender, number = text.split()
        assert last.get(sender, -1) < int(number), f"{where}: {text} after {last[sender]}"
        last[sender] = int(number)


async def joined(row: Row) -> Account:
    """Wait until A and C know of each other, and something of each is everywhere."""
    await row.until(lambda states: all(len(each["live"]) == len(row.boxes) for each in states), READY_S)
    account = Account(row)
    await account.everybody()
    await account.equal(READY_S)
    return account


async def _healed(row: Row, account: Account, *, replays: bool = False) -> float:
    row.link.join()
    began = time.monotonic()
    await account.equal(HEAL_WITHIN_S)
    took_s = time.monotonic() - began
    await account.check(replays=replays)
    return took_s


async def cut(row: Row, cut_s: float) -> float:
    """All say something while nothing comes through, and both sides hear the same packets."""
    account = await joined(row)
    row.link.cut()
    await asyncio.sleep(cut_s / 2)
    await account.everybody()
    await account.radio(row.a, SHARED)
    await account.radio(row.c, SHARED)
    await asyncio.sleep(cut_s / 2)
    return await _healed(row, account)


async def killed(row: Row, cut_s: float) -> float:
    """A and C lose their power in the cut, and come back in it."""
    account = await joined(row)
    row.link.cut()
    await asyncio.sleep(cut_s / 2)
    await account.everybody()
    await asyncio.gather(row.a.kill9(), row.c.kill9())
    await account.page(row.b, "alib")
    await asyncio.gather(row.a.start(), row.c.start())
    await account.everybody()
    await asyncio.sleep(cut_s / 2)
    return await _healed(row, account)


async def backlog(row: Row, cut_s: float, count: int = 5_000) -> float:
    """C alone hears a great deal in the cut."""
    account = await joined(row)
    row.link.cut()
    began = time.monotonic()
    await account.radio(row.c, "00c0ffe9", count)
    await account.everybody()
    await asyncio.sleep(max(0.0, began + cut_s - time.monotonic()))
    return await _healed(row, account)


async def tail_lost(row: Row, cut_s: float) -> float:
    """In the cut the logs of B, then of A, lose what was written last, and both go on."""
    account = await joined(row)
    row.link.cut()
    for box in (row.b, row.a):
        copy = box.folder / "older.db"
        box.copy_log(copy)
        await account.everybody()
        await row.until(lambda states: states[0]["log"] == states[1]["log"], READY_S)
        await box.kill9()
        box.put_log_back(copy)
        await box.start()
        await account.everybody()
        await row.until(lambda states: states[0]["log"] == states[1]["log"], READY_S)
    await asyncio.sleep(cut_s)
    return await _healed(row, account, replays=True)


FAULTS: tuple[Callable[[Row, float], Awaitable[float]], ...] = (cut, killed, backlog, tail_lost)
