# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway that was handed port 80, and a browser without script that knows it as http://gateway.local."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.browsing import chromium
from tests.namespaces import own_network

CONFIG = """\
[gateway]
name = "gateway"
data_dir = "data"
run_dir = "run"
[api]
listen = "127.0.0.1:8080"
[bridges.lan]
kind = "lan"
page = "0.0.0.0:80"
interfaces = ["lo"]
[[routes]]
name = "town"
join = ["lan/town"]
"""
AS_SYSTEMD = """\
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "crossband-page.socket"}
os.execv(sys.executable, [sys.executable, "-m", "gateway", "--config", sys.argv[2], "run"])
"""
WITHIN_S = 30.0


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="cb-"))  # a short path: it holds sockets
    yield made
    shutil.rmtree(made, ignore_errors=True)


@contextmanager
def handed_port_80(folder: Path) -> Iterator[None]:
    """Run a gateway as the socket unit does: it inherits what listens."""
    config = folder / "crossband.toml"
    config.write_text(CONFIG)
    with socket.create_server(("0.0.0.0", 80)) as listening, (folder / "log").open("wb") as log:
        at = listening.fileno()
        words = [sys.executable, "-c", AS_SYSTEMD, str(at), str(config)]
        with subprocess.Popen(words, pass_fds=[at], stdout=log, stderr=log) as gateway:
            try:
                until_up(folder / "log")
                yield
            finally:
                gateway.terminate()
                gateway.wait(WITHIN_S)


def until_up(log: Path) -> None:
    late = time.monotonic() + WITHIN_S
    while b"page_announced" not in log.read_bytes() or httpx.get("http://127.0.0.1/").status_code != 200:
        assert time.monotonic() < late, log.read_text()
        time.sleep(0.05)


async def test_the_page_at_port_80_needs_no_port_in_its_address_and_no_script_in_the_browser(folder: Path) -> None:
    with own_network(), handed_port_80(folder):
        async with httpx.AsyncClient(base_url="http://127.0.0.1") as phone:
            wall = await phone.get("/qr", headers={"Host": "gateway.local"})
            assert "<figcaption>http://gateway.local/</figcaption>" in wall.text
            assert "<figcaption>http://127.0.0.1/</figcaption>" in wall.text
            assert (await phone.get("/", headers={"Host": "elsewhere.local"})).status_code == 421

        async with chromium() as browser:
            context = await browser.new_context(base_url="http://gateway.local", java_script_enabled=False)
            page = await context.new_page()
            await page.goto("/")
            await page.get_by_label("Your name").fill("Ada")
            await page.get_by_role("button", name="Join").click()
            await page.wait_for_url("http://gateway.local/r/town/")
            await page.get_by_label("Message from Ada").fill("without a port")
            await page.get_by_role("button", name="Send", exact=True).click()
            await page.frame_locator("iframe").get_by_text("without a port").wait_for()
            await context.close()
