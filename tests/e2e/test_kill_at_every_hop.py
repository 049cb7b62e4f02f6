# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 of the gateway at every hop: nothing is lost once journalled, nothing shows twice, order is kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = Path(__file__).with_name("hop_child.py")
MESSAGES = 60
CONVERSATIONS = 3
HOPS = [
    "before journal",
    "after journal",
    "before put",
    "after put",
    "before claim",
    "after claim",
    "before send",
    "after send",
    "before receipt",
    "after receipt",
    "before settle",
    "after settle",
]

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
{routes}
"""

ROUTE = """
[[routes]]
name = "r{n}"
from = ["near/room{n}"]
to = ["far/room{n}"]
"""


def run(folder, hop, count):
    return subprocess.run(
        [sys.executable, str(CHILD), str(folder), hop, str(count)],
        check=False,
        capture_output=True,
        timeout=60,
        env={**os.environ, "PYTHONWARNINGS": "default"},
    )


@pytest.mark.parametrize("hop", HOPS)
def test_a_gateway_killed_again_and_again_at_this_hop_loses_and_doubles_nothing(tmp_path, hop):
    routes = "".join(ROUTE.format(n=n) for n in range(CONVERSATIONS))
    (tmp_path / "crossband.toml").write_text(CONFIG.format(folder=tmp_path, routes=routes))
    said = [f"text {n}" for n in range(MESSAGES)]
    (tmp_path / "said").write_text("\n".join(said) + "\n")

    ends = [run(tmp_path, hop, count) for count in (1, 3)]
    codes = [end.returncode for end in ends]
    assert codes[0] == -9, ends[0].stderr.decode()[-3000:]
    assert set(codes) <= {-9, 0}
    last = run(tmp_path, "never", 0)
    assert last.returncode == 0, last.stderr.decode()[-3000:]

    rows = [line.split("\t") for line in (tmp_path / "shown").read_text().splitlines()]
    assert {key.rpartition(".")[2] for key, _, _ in rows} == {"0"}
    shown = list({key: (room, body) for key, room, body in rows}.values())
    assert sorted(body for _, body in shown) == sorted(said)
    for number in range(CONVERSATIONS):
        room = [body for name, body in shown if name == f"room{number}"]
        assert room == said[number::CONVERSATIONS]
