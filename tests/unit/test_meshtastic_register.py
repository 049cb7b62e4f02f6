# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from meshtastic.protobuf.mesh_pb2 import MeshPacket

from bridges.meshtastic.register import MOST_STRAYS, PROVEN_S, SILENT, SILENT_S, Register
from gateway.model import BridgeName

HILL, RIDGE = 0xA1B2C300, 0xA1B2C301
ONE, OTHER = BridgeName("one"), BridgeName("other")


@pytest.fixture
def device(tmp_path: Path) -> str:
    path = tmp_path / "board"
    path.touch()
    return str(path)


def test_a_board_that_was_seen_to_be_another_is_left_alone_for_a_while(device: str):
    register = Register()
    seat = register.join(ONE, node=HILL)
    register.prove(device, RIDGE, now=0.0)

    assert seat.why_not(device, PROVEN_S - 1) == "this is !a1b2c301, wanted !a1b2c300"
    assert seat.why_not(device, PROVEN_S + 1) == ""


def test_what_did_not_speak_like_a_radio_is_tried_again_soon(device: str):
    register = Register()
    seat = register.join(ONE)
    register.prove(device, SILENT, now=0.0)

    assert seat.why_not(device, SILENT_S - 1) == "no radio answers"
    assert seat.why_not(device, SILENT_S + 1) == ""


def test_what_is_plugged_in_under_the_same_name_is_not_what_was_there(device: str):
    register = Register()
    seat = register.join(ONE, node=HILL)
    register.prove(device, RIDGE, now=0.0)
    fresh = Path(device).with_name("fresh")
    fresh.touch()
    fresh.replace(device)

    assert seat.why_not(device, 1.0) == ""


def test_nobody_takes_what_another_has_or_is_for(device: str, tmp_path: Path):
    register = Register()
    seat, holder = register.join(ONE), register.join(OTHER)
    link = tmp_path / "link"
    link.symlink_to(device)
    holder.take(str(link))
    assert seat.why_not(device, 0.0) == "is in use by the bridge other"
    holder.release()
    assert seat.why_not(device, 0.0) == ""

    owner = register.join(BridgeName("owner"), path=str(link))
    assert seat.why_not(device, 0.0) == "is for the bridge owner"
    assert owner.why_not(device, 0.0) == ""


def test_a_node_is_used_by_one_bridge_at_a_time_and_by_the_one_that_names_it():
    register = Register()
    seat, other = register.join(ONE), register.join(OTHER, node=RIDGE)
    assert seat.objection(RIDGE) == "this is !a1b2c301, which the bridge other wants"
    other.learn(HILL, "", {})
    assert seat.objection(HILL) == "this is !a1b2c300, which the bridge other has already"
    other.release()
    assert seat.objection(HILL) == ""


def test_a_seat_ends_with_its_bridge():
    register = Register()
    seat = register.join(ONE)
    other = register.join(OTHER, node=RIDGE)
    assert seat.objection(RIDGE)
    del other
    gc.collect()
    assert not seat.objection(RIDGE)


def test_what_a_node_said_to_the_wrong_bridge_is_kept_for_the_right_one_once_and_bounded():
    register = Register()
    register.keep(RIDGE, [MeshPacket(id=n) for n in range(1, MOST_STRAYS)])
    register.keep(RIDGE, [MeshPacket(id=n) for n in range(MOST_STRAYS, MOST_STRAYS + 10)])
    kept = register.claim(RIDGE)

    assert [packet.id for packet in kept] == list(range(10, MOST_STRAYS + 10))
    assert not register.claim(RIDGE)
    for number in range(1, 20):
        register.keep(number, [MeshPacket(id=1)])
    assert sum(len(register.claim(number)) for number in range(1, 20)) == 8


def test_a_device_that_is_gone_has_no_proof(tmp_path: Path):
    register = Register()
    register.prove(str(tmp_path / "gone"), RIDGE, now=0.0)
    assert register.proven(str(tmp_path / "gone"), 0.0) is None
    assert not os.path.lexists(tmp_path / "gone")
