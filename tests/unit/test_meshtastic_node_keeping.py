# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import pytest
from meshtastic.protobuf.mesh_pb2 import User

from bridges.meshtastic.node.crypto import key_pair
from bridges.meshtastic.node.keeping import Kept, load, save
from bridges.meshtastic.node.roster import MOST_NODES, Roster
from gateway.model import LinkDown

KEYS = key_pair(b"\x11" * 32)


def user(name: str, key: bytes = b"") -> User:
    return User(long_name=name, short_name=name[:4], public_key=key)


def roster(*names: str) -> Roster:
    made = Roster()
    for number, name in enumerate(names, 10):
        made.introduce(number, user(name, bytes([number]) * 32))
        made.hear(number, 1_800_000_000 + number)
    return made


def test_what_was_kept_is_read_again(tmp_path: Path):
    path = tmp_path / "node.json"
    save(path, Kept(keys=KEYS, roster=roster("Ridge", "Market"), announced_unix=7))

    kept = load(path)

    assert kept is not None
    assert (kept.keys, kept.announced_unix) == (KEYS, 7)
    assert kept.roster.to_json() == roster("Ridge", "Market").to_json()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_of_version_1_is_read(tmp_path: Path):
    """As the first gateway with a node of its own wrote it."""
    path = tmp_path / "node.json"
    path.write_text(
        '{"version": 1, "private": "ERERERERERERERERERERERERERERERERERERERERERE=", "announced": null,'
        ' "nodes": {"a1b2c301": {"long": "Ridge relay", "short": "RDGE", "hardware": 9, "role": 2,'
        ' "key": "IiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiI=", "heard": 1800000000}}}'
    )

    kept = load(path)

    assert kept is not None
    assert kept.keys == KEYS
    assert kept.roster.key(0xA1B2C301) == b"\x22" * 32


def test_nothing_kept_is_nothing(tmp_path: Path):
    assert load(tmp_path / "node.json") is None


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"private": "AAAA"},
        {"private": "*"},
        {"private": None},
        {"nodes": []},
        {"nodes": {"xyz": {}}},
        {"nodes": {"0000000a": {"key": "AAAA", "long": "", "short": "", "hardware": 0, "role": 0, "heard": 0}}},
        {"nodes": {"0000000a": {"key": "", "long": "", "short": "", "hardware": 0, "role": 0, "heard": -1}}},
        {"nodes": {"10000000a": {"key": "", "long": "", "short": "", "hardware": 0, "role": 0, "heard": 0}}},
        {"announced": "soon"},
    ],
)
def test_what_is_damaged_is_said_and_left_as_it_is(tmp_path: Path, change: dict[str, object]):
    path = tmp_path / "node.json"
    save(path, Kept(keys=KEYS))
    damaged = json.dumps(json.loads(path.read_text()) | change)
    path.write_text(damaged)

    with pytest.raises(LinkDown, match="damaged"):
        load(path)
    assert path.read_text() == damaged


def test_a_draft_that_a_crash_left_is_no_obstacle(tmp_path: Path):
    path = tmp_path / "node.json"
    (tmp_path / "node.json.new").write_text("half of i")

    save(path, Kept(keys=KEYS))

    assert [each.name for each in tmp_path.iterdir()] == ["node.json"]


def test_past_the_limit_the_one_silent_longest_is_forgotten_those_without_a_key_first():
    made = Roster(limit=3)
    made.introduce(1, user("first", b"1" * 32))
    made.hear(2, 5)
    made.hear(3, 6)
    made.hear(4, 7)
    assert set(made.to_json()) == {"00000001", "00000003", "00000004"}

    for number in (3, 4, 5):
        made.introduce(number, user("more", bytes([number]) * 32))
    assert set(made.to_json()) == {"00000003", "00000004", "00000005"}
    assert Roster()._limit == MOST_NODES


def test_who_was_written_to_is_kept_as_such_and_a_file_of_before_says_of_nobody():
    made = roster("Ridge", "Market")
    made.spoke(10)
    made.spoke(99)
    written = made.to_json()
    before = {
        number: {key: value for key, value in each.items() if key != "spoken"} for number, each in written.items()
    }

    assert Roster.from_json(written).to_json() == written
    assert [each["spoken"] for each in written.values()] == [False, True]
    assert not any(each["spoken"] for each in Roster.from_json(before).to_json().values())


def test_only_what_is_new_is_worth_keeping():
    made = roster("Ridge")
    made.has_changed = False

    made.hear(10, 1_900_000_000)
    made.introduce(10, user("Ridge", bytes([10]) * 32))
    assert not made.has_changed

    made.introduce(10, user("Ridge top", bytes([10]) * 32))
    assert made.has_changed


def test_a_key_of_the_wrong_size_is_none_and_a_known_one_is_not_taken_away():
    made = Roster()
    assert made.introduce(9, user("Odd", b"short"))
    assert made.key(9) == b""
    assert made.introduce(9, user("Odd", b"k" * 32))
    assert not made.introduce(9, user("Odd"))
    assert made.key(9) == b"k" * 32
