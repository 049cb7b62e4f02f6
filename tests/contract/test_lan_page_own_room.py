# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody's own room in a real browser, over a real LAN bridge: a radio node writes, and the reply goes to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.model import Address, Sender, SenderId, Text
from tests.browsing import chromium, served
from tests.contract.lan_box import LAN, LanBox, from_radio
from tests.contract.test_lan_page_browser import expect, tab
from tests.contract.test_lan_private import RadioDesk

NODE = "!a1b2c301"


@pytest.mark.parametrize("script", [True, False])
async def test_what_a_node_writes_to_one_person_is_hinted_at_and_their_reply_goes_to_that_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: bool
) -> None:
    monkeypatch.setattr("bridges.lan.page.reading.REFRESH_S", 1)
    box = LanBox(tmp_path)
    async with (
        box.running(desk=RadioDesk()) as bridge,
        served(bridge.hall) as port,
        chromium() as browser,
        tab(browser, (bridge.hall, port), java_script_enabled=script) as page,
    ):
        await page.goto("/")
        await page.get_by_label("Your name").fill("ali")
        await page.get_by_role("button", name="Join").click()
        await page.wait_for_url("**/r/town/")
        lines = page if script else page.frame_locator("iframe")
        await lines.get_by_text("Nothing has been said here yet.").wait_for()
        unasked = from_radio("are you there?", sender=Sender(id=SenderId(NODE), name="Ridge relay"))
        await bridge.send(unasked, Address(LAN, "~ali@hilltop"), key="k.0")
        hint = page.locator("#whispers") if script else lines.get_by_role("link", name="for you alone")
        await expect(hint).to_have_text("1 new line for you alone")
        await page.get_by_role("link", name="~ali@hilltop").click()
        await lines.get_by_role("link", name="Reply Ridge relay").click()
        await expect(page.locator("#quoted")).to_have_text("Ridge relay: are you there?")
        await page.get_by_label("Message from ali").fill("yes, at the ford")
        await page.get_by_role("button", name="Send", exact=True).click()
        await lines.get_by_text("yes, at the ford").wait_for()
        (said,) = await box.received(bridge, 1)
        assert said.origin == Address(LAN, f"~ali@hilltop/{NODE}")
        assert said.content == Text(body="yes, at the ford")
        assert said.reply_to == unasked.native_id
