# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Chromium, and the chat page on a real port, for the tests that need both."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridges.lan.page import Page, PageSettings
from gateway.connections import MOST_AT_A_LISTENER
from gateway.servers import server_of
from tests.halls import MemoryHall

AXE = Path(__file__).parent / "peers" / "node_modules" / "axe-core" / "axe.min.js"
_OURS = ("gateway.local", "detectportal.firefox.com")
_ONLY_OURS = (
    ", ".join(f"MAP {host} 127.0.0.1" for host in _OURS) + ", MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
)


def chromium_or_skip() -> str:
    """Return Chromium's path; without one skip, unless CROSSBAND_BROWSER=required."""
    found = os.environ.get("CROSSBAND_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        reason = "no Chromium: apt install chromium, or name one in CROSSBAND_CHROMIUM"
        if os.environ.get("CROSSBAND_BROWSER") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def axe_or_skip() -> str:
    """Return axe-core's source; it comes with the tests' other packages of npm."""
    if not AXE.exists():
        if os.environ.get("CI"):
            pytest.fail(f"no axe-core in {AXE.parent}: `make test` installs it")
        pytest.skip("no axe-core: `make test` installs it")
    return AXE.read_text(encoding="utf-8")


@asynccontextmanager
async def chromium() -> AsyncIterator[Any]:
    """Start a browser that knows this machine as gateway.local, and no other host at all."""
    from playwright.async_api import async_playwright

    path = chromium_or_skip()
    arguments = ["--no-sandbox", f"--host-resolver-rules={_ONLY_OURS}"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def served(hall: MemoryHall) -> AsyncIterator[int]:
    """Serve the page as the gateway does; return its port."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(64)
        port = int(sock.getsockname()[1])
        page = Page(hall, PageSettings(box="hilltop", name="gateway.local", port=port))
        server = server_of(page, most=MOST_AT_A_LISTENER)
        task = asyncio.create_task(server.serve(sockets=[sock]))
        try:
            yield port
        finally:
            await page.close()
            server.should_exit = True
            await task
