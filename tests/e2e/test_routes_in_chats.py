# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes are made and ended in chats of a running gateway; killed at any step of that, it leaves all of it or none."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from gateway.control import Control, NotRunning

CHILD = Path(__file__).with_name("routes_child.py")
PATIENCE_S = 45.0
CONFIG = """
[gateway]
name = "box"
data_dir = "data"
[api]
listen = "127.0.0.1:0"
[bridges.near]
kind = "file"
folder = "{folder}"
[bridges.far]
kind = "file"
folder = "{folder}"
direct = "near/desk"
[permissions]
"*" = "transmit"
"op" = "commands"
"""


class Box:
    """The gateway's folder, and the process that runs there."""

    def __init__(self, folder):
        self.folder = folder
        self.control = Control(folder / "data" / "run" / "control.sock")
        (folder / "crossband.toml").write_text(CONFIG.format(folder=folder))
        for bridge in ("near", "far"):
            (folder / f"said-{bridge}").write_text("")
        (folder / "ledger").write_text("")

    @contextlib.contextmanager
    def running(self, hop="never", count=0):
        process = subprocess.Popen(
            [sys.executable, str(CHILD), str(self.folder), hop, str(count)], stderr=subprocess.PIPE
        )
        try:
            yield process
        finally:
            (self.folder / "stop").touch()
            try:
                _, said = process.communicate(timeout=30)
            finally:
                process.kill()
                (self.folder / "stop").unlink()
            assert process.returncode in {0, -9}, said.decode()[-3000:]

    def say(self, sender, room, *texts, bridge="near"):
        with (self.folder / f"said-{bridge}").open("a") as said:
            said.writelines(f"{sender}|{room}|{text}\n" for text in texts)

    @property
    def ledger(self):
        return (self.folder / "ledger").read_text().splitlines()

    def shown(self):
        return [line.split(" ", 2)[2] for line in self.ledger if line.split(" ")[1] == "shown"]

    def until(self, *lines):
        """Wait until each is in the ledger."""
        deadline = time.monotonic() + PATIENCE_S
        while missing := [line for line in lines if not any(one.startswith(line) for one in self.ledger)]:
            assert time.monotonic() < deadline, (missing, self.ledger)
            time.sleep(0.02)

    def routes(self):
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(NotRunning):
                return self.control.get("/routes")
            time.sleep(0.05)
        raise AssertionError


@pytest.fixture
def box():
    folder = Path(tempfile.mkdtemp(prefix="xb-"))  # short: it holds sockets
    yield Box(folder)
    shutil.rmtree(folder)


def test_a_route_made_in_a_chat_carries_messages_at_once_and_after_a_restart_until_it_is_ended_there(box):
    with box.running():
        box.say("ali", "room", "unheard", "!join far/hall")
        box.say("op", "room", "!join far/hall")
        box.say("ali", "room", "one")
        box.until("near declined that takes the permission commands", "near joined joined-", "far shown far/hall one")
        box.say("kim", "hall", "two", bridge="far")
        box.until("near rerouted desk room", "far rerouted hall", "near shown near/room two")
        (route,) = box.routes()
        assert (route["by"], sorted(route["sources"])) == ("op", ["far/hall", "near/room"])
    with box.running():
        box.until("near started desk room")
        box.say("ali", "room", "three")
        box.until("far shown far/hall three")
        box.say("op", "room", "!part far/hall")
        box.until("near parted joined-")
        box.say("ali", "room", "unheard")
        box.say("op", "room", "!join far/other")
        box.say("ali", "room", "four")
        box.until("far shown far/other four")
        assert len(box.routes()) == 1

    assert box.shown() == ["far/hall one", "near/room two", "far/hall three", "far/other four"]


@pytest.mark.parametrize(
    "hop",
    [
        "after keep",
        "after drop",
        pytest.param("before keep", marks=pytest.mark.slow),
        pytest.param("before drop", marks=pytest.mark.slow),
    ],
)
def test_killed_while_a_route_is_made_or_ended_it_is_there_or_not_and_nothing_is_lost_or_doubled(box, hop):
    texts = [f"text {number}" for number in range(20)]
    box.say("ali", "room", "unheard")
    box.say("op", "room", "!join far/hall")
    box.say("ali", "room", *texts)
    box.say("op", "room", "!part far/hall")
    box.say("ali", "room", "unheard")
    box.say("op", "room", "!join far/end")
    box.say("ali", "room", "end")
    with box.running(hop, 1) as process:
        assert process.wait(PATIENCE_S) == -9
    with box.running():
        box.until("far shown far/end end", f"far shown far/hall {texts[-1]}")
        assert [sorted(route["sources"]) for route in box.routes()] == [["far/end", "near/room"]]

    assert [line for line in box.shown() if "hall" in line] == [f"far/hall {text}" for text in texts]
    assert not [line for line in box.shown() if "unheard" in line]


def test_a_nodes_private_words_reach_its_own_chat_and_nobody_elses(box):
    with box.running():
        box.say("kim", "!kim", "hello?", bridge="far")
        box.until("near shown near/desk hello?")
        box.say("ali", "ali", "!join far/!kim", "hi, Kim")
        box.say("bea", "bea", "!join far/!lee", "hi, Lee")
        box.until("far shown far/!kim hi, Kim", "far shown far/!lee hi, Lee")
        box.say("lee", "!lee", "for Bea", bridge="far")
        box.say("kim", "!kim", "for Ali", bridge="far")
        box.until("near shown near/ali for Ali", "near shown near/bea for Bea")
        assert {(route["by"], route["direct"]) for route in box.routes()} == {("ali", True), ("bea", True)}

    assert len(box.shown()) == 5
