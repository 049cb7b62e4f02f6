# SPDX-License-Identifier: GPL-3.0-or-later
"""Two gateways on one queue: a killed or frozen one is taken over, nothing is lost, doubled or out of order."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.control import Control, NotRunning
from tests.queue_servers import Server, cluster, running

CHILD = Path(__file__).with_name("sharing_child.py")
CONVERSATIONS = 3
LEASE_S = 2.0
"""Short, so that the suite is; the real one is for the slow tests."""
CLUSTER = "in a cluster"
BOXES = ("hill", "lake")
CONFIG = """
[gateway]
name = "{name}"
data_dir = "{folder}/{name}"
[queue]
url = "{url}"
[api]
listen = "127.0.0.1:0"
[permissions]
"*" = "transmit"
"""
BRIDGE = """
[bridges.{name}]
kind = "file"
folder = "{folder}"
"""
ROUTE = """
[[routes]]
name = "{of}{n}"
from = ["{of}/room{n}"]
to = ["far/room{n}"]
"""


class Boxes:
    """Two gateways in one configuration, and files for networks."""

    def __init__(self, folder: Path, url: str, lease_s: float) -> None:
        self.folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.said: dict[str, list[str]] = {}
        self.server: Server
        self.lease_s = lease_s
        sources = ("near", *(f"mast_{box}" for box in BOXES))
        shared = "".join(BRIDGE.format(name=name, folder=folder) for name in (*sources, "far"))
        shared += "".join(ROUTE.format(of=of, n=n) for of in sources for n in range(CONVERSATIONS))
        for name in BOXES:
            config = CONFIG.format(name=name, folder=folder, url=url) + shared
            (folder / f"{name}.toml").write_text(config)

    def start(self, name: str) -> None:
        command = [sys.executable, str(CHILD), str(self.folder / f"{name}.toml"), str(self.lease_s)]
        with (self.folder / f"{name}.log").open("ab") as log:
            environment = {**os.environ, "PYTHONWARNINGS": "default"}
            self.running[name] = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def signal(self, name: str, number: int) -> None:
        self.running[name].send_signal(number)

    def kill9(self, name: str) -> None:
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def stop(self, name: str) -> int:
        process = self.running.pop(name)
        process.terminate()
        return process.wait(20)

    def end(self) -> None:
        for name in list(self.running):
            self.running[name].send_signal(signal.SIGCONT)
            self.kill9(name)

    def say(self, count: int, at: str = "near") -> None:
        said = self.said.setdefault(at, [])
        new = [f"{at} {len(said) + n}" for n in range(count)]
        said += new
        with (self.folder / at).open("a") as file:
            file.write("".join(f"{text}\n" for text in new))

    def shown(self) -> list[tuple[str, str, str, str]]:
        """What the far side was sent: key, conversation, text, by which box."""
        try:
            rows = [line.split("\t") for line in (self.folder / "shown").read_text().splitlines()]
        except FileNotFoundError:
            return []
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    def bridge(self, box: str, name: str) -> dict[str, str]:
        try:
            status = Control(self.folder / box / "run" / "control.sock").get("/status")
        except (NotRunning, OSError):
            return {"state": "", "reason": ""}
        return next(bridge for bridge in status["bridges"] if bridge["name"] == name)

    def state(self, box: str, name: str) -> str:
        return self.bridge(box, name)["state"]

    def pending(self, box: str) -> int:
        status = Control(self.folder / box / "run" / "control.sock").get("/status")
        return sum(states.get(state, 0) for states in status["deliveries"].values() for state in PENDING)

    def holder(self, name: str = "near") -> str:
        return next((box for box in self.running if self.state(box, name) == "up"), "")

    def until(self, condition: Callable[[], object], *, within_s: float = 30.0) -> float:
        """Wait; return how many seconds it took."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > within_s:
                logs = "".join((self.folder / f"{box}.log").read_text()[-3000:] for box in BOXES)
                pytest.fail(f"not within {within_s} s; shown {len(self.shown())} of {self._said()}\n{logs}")
            time.sleep(0.05)
        return time.monotonic() - began

    def _said(self) -> int:
        return sum(map(len, self.said.values()))

    def all_shown(self) -> bool:
        return {row[2] for row in self.shown()} >= {text for said in self.said.values() for text in said}

    def check(self) -> None:
        """Nothing lost; nothing doubled for a network that shows a key once; order kept."""
        rows = self.shown()
        shown = list({key: (room, text) for key, room, text, _ in rows}.values())
        times = Counter(text for _, text in shown)
        doubled = [row for row in rows if times[row[2]] > 1]
        assert times == Counter(text for said in self.said.values() for text in said), doubled
        for source, said in self.said.items():
            for n in range(CONVERSATIONS):
                of_source = [text for room, text in shown if room == f"room{n}" and text in set(said)]
                assert of_source == said[n::CONVERSATIONS], source


PENDING = ("waiting", "queued", "sending")


@pytest.fixture
def boxes(request: pytest.FixtureRequest) -> Iterator[Boxes]:
    wanted = getattr(request, "param", LEASE_S)
    with tempfile.TemporaryDirectory(prefix="cb-") as name, ExitStack() as stack:
        folder = Path(name)
        if wanted == CLUSTER:
            nodes = stack.enter_context(cluster(folder))
            url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
            made = Boxes(folder, url, LEASE_S)
        else:
            server = Server(folder)
            stack.enter_context(running(server))
            made = Boxes(folder, server.url, wanted)
            made.server = server
        stack.callback(made.end)
        yield made


def other(box: str) -> str:
    return BOXES[1 - BOXES.index(box)]


def both(boxes: Boxes) -> str:
    """Start both; return which of them holds the shared bridges."""
    for box in BOXES:
        boxes.start(box)
        boxes.until(lambda: boxes.holder() and boxes.holder("far"))
    boxes.until(lambda box=box: {boxes.state(one, "near") for one in BOXES} == {"up", "standby"})
    return boxes.holder()


@pytest.mark.parametrize(
    ("boxes", "rounds"),
    [
        (LEASE_S, 2),
        pytest.param(CLUSTER, 6, marks=pytest.mark.slow),
        pytest.param(15.0, 20, marks=[pytest.mark.slow, pytest.mark.timeout(1200)]),
    ],
    indirect=["boxes"],
)
def test_a_gateway_that_is_killed_again_and_again_loses_and_doubles_nothing(boxes: Boxes, rounds: int) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    both(boxes)
    for turn in range(rounds):
        for source in ("near", "mast_hill", "mast_lake"):
            boxes.say(30, source)
        time.sleep(chance.uniform(0.0, 0.4))
        box = boxes.holder("far") or BOXES[0]
        boxes.kill9(box)
        if turn % 2:  # taken over
            boxes.until(lambda box=box: boxes.state(other(box), "far") == "up", within_s=40)
        boxes.say(30)
        boxes.start(box)
        boxes.until(lambda: all(boxes.state(one, f"mast_{one}") == "up" for one in BOXES))

    boxes.until(boxes.all_shown, within_s=60)
    boxes.until(lambda: sum(boxes.pending(box) for box in BOXES) == 0)
    boxes.check()


@pytest.mark.parametrize("boxes", [LEASE_S, pytest.param(15.0, marks=pytest.mark.slow)], indirect=True)
def test_a_killed_gateways_bridges_are_taken_over_within_its_lease_and_nothing_is_said_twice(boxes: Boxes) -> None:
    holder = both(boxes)
    boxes.say(30)
    boxes.until(boxes.all_shown)
    before = len(boxes.shown())
    time.sleep(1.5)  # so that the resume point is marked

    boxes.kill9(holder)
    boxes.say(30)
    took_s = boxes.until(lambda: boxes.state(other(holder), "near") == "up", within_s=40)
    boxes.until(boxes.all_shown, within_s=40)

    print(f"taken over in {took_s:.1f} s, lease {boxes.lease_s:g} s")
    assert took_s < boxes.lease_s + 3
    boxes.check()
    assert len(boxes.shown()) == before + 30  # not even under the same key


def test_a_gateway_that_is_stopped_hands_over_at_once(boxes: Boxes) -> None:
    holder = both(boxes)
    boxes.say(12)
    boxes.until(boxes.all_shown)

    assert boxes.stop(holder) == 0
    boxes.say(12)
    assert boxes.until(lambda: boxes.state(other(holder), "far") == "up") < LEASE_S
    boxes.until(boxes.all_shown)
    boxes.check()


def test_a_gateway_frozen_past_its_lease_sends_nothing_more_when_it_wakes(boxes: Boxes) -> None:
    holder = both(boxes)
    boxes.say(300)
    boxes.until(lambda: len(boxes.shown()) > 20)
    boxes.signal(holder, signal.SIGSTOP)
    frozen_at = len([row for row in boxes.shown() if row[3] == holder])
    boxes.until(boxes.all_shown, within_s=40)

    boxes.signal(holder, signal.SIGCONT)
    boxes.until(lambda: boxes.state(holder, "near") == "standby")
    boxes.say(30)
    boxes.until(boxes.all_shown)
    boxes.until(lambda: sum(boxes.pending(box) for box in BOXES) == 0)

    boxes.check()
    on_the_wire = 4  # as many conversations may be in flight
    assert len([row for row in boxes.shown() if row[3] == holder]) <= frozen_at + on_the_wire


def test_a_box_that_was_away_with_what_it_had_accepted_sends_nothing_again(boxes: Boxes) -> None:
    holder = both(boxes)
    boxes.server.freeze()
    boxes.say(30)
    boxes.until(lambda: boxes.pending(holder) == 30)  # journalled here, and not in the queue
    boxes.kill9(holder)
    boxes.server.thaw()
    boxes.until(boxes.all_shown, within_s=40)  # the other one has read it too
    before = len(boxes.shown())

    boxes.start(holder)
    boxes.until(lambda: boxes.state(holder, f"mast_{holder}") == "up" and boxes.pending(holder) == 0)
    boxes.check()
    assert len(boxes.shown()) == before


@pytest.mark.slow
def test_a_box_that_cannot_reach_the_network_leaves_it_to_one_that_can(boxes: Boxes) -> None:
    holder = both(boxes)
    (boxes.folder / f"cut_{holder}").touch()
    boxes.say(12)

    boxes.until(lambda: boxes.state(other(holder), "near") == "up", within_s=40)
    boxes.until(boxes.all_shown)
    boxes.check()
    boxes.until(lambda: boxes.bridge(holder, "near")["reason"] == f"{other(holder)} has it")
