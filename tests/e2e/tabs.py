# SPDX-License-Identifier: GPL-3.0-or-later
"""People at a box's page in a real Chromium: one whose browser has script, and one whose has none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bridges.sim.loopback import LOOPBACK
from tests.browsing import chromium
from tests.e2e.triangle import WITHIN_S

_LINES = """lines => lines.map(line => ({
    id: line.dataset.id, name: line.querySelector('.name').innerText, text: line.querySelector('.text').innerText,
    network: line.querySelector('.badge').classList[1], sure: line.querySelector('.sure').innerText,
    at: line.querySelector('time').dateTime, state: line.querySelector('.state')?.innerText ?? '',
    quote: line.querySelector('.quote')?.innerText ?? '', gone: line.classList.contains('gone'),
    marks: [...line.querySelectorAll('.mark')].map(mark => mark.innerText.trim())}))"""


class Tab:
    """Somebody's tab at a box's page, in a real Chromium."""

    def __init__(self, page: Any, nick: str, *, script: bool) -> None:
        self.page, self.nick, self.script = page, nick, script

    async def join(self) -> None:
        await self.page.goto("/")
        await self.page.get_by_label("Your name").fill(self.nick)
        await self.page.get_by_role("button", name="Join").click()
        await self.page.wait_for_url("**/r/town/")

    async def say(self, text: str) -> None:
        field = self.page.get_by_label(f"Message from {self.nick}")
        await field.fill(text)
        await self.page.get_by_role("button", name="Send", exact=True).click()
        await self._frame().locator(".line", has_text=text).wait_for()

    async def reply(self, to: str, text: str) -> None:
        await self._frame().locator(".line", has_text=to).locator(".reply").click()
        await self.page.locator("#reply").wait_for()
        await self.say(text)

    async def react(self, to: str, emoji: str) -> None:
        await self._frame().locator(".line", has_text=to).locator(".reply").click()
        await self.page.get_by_role("button", name=emoji).click()

    async def lines(self) -> list[dict[str, Any]]:
        """Return what stands there, in order; without script after a reload, so that nothing waits for the next."""
        if not self.script:
            await self.page.reload()
            await self._frame().locator("#end").wait_for()
        return list(await self._frame().locator(".line").evaluate_all(_LINES))

    async def all(self, hold: Any) -> list[dict[str, Any]]:
        """Wait until this holds of what stands there."""
        async with asyncio.timeout(WITHIN_S):
            while not hold(lines := await self.lines()):
                await asyncio.sleep(0.3)
        return lines

    async def line(self, holds: Any) -> dict[str, Any]:
        """Wait for a line of which this holds."""
        return next(filter(holds, await self.all(lambda lines: any(map(holds, lines)))))

    async def said(self, text: str) -> dict[str, Any]:
        return await self.line(lambda line: line["text"] == text)

    def _frame(self) -> Any:
        return self.page if self.script else self.page.frame_locator("iframe")


@asynccontextmanager
async def tabs(port: int) -> AsyncIterator[tuple[Tab, Tab]]:
    """Two people at a page: ali's browser has script, bo's has not."""
    async with chromium() as browser:
        made = []
        for nick, script in (("ali", True), ("bo", False)):
            base = f"http://{LOOPBACK}:{port}"
            context = await browser.new_context(base_url=base, java_script_enabled=script, locale="en")
            context.set_default_timeout(WITHIN_S * 1000)
            made.append(Tab(await context.new_page(), nick, script=script))
            await made[-1].join()
        yield made[0], made[1]
