# SPDX-License-Identifier: GPL-3.0-or-later
"""Boards: each that is looked for has a name, a udev rule and a row in the manual; and who has one open."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridges.meshtastic import listing
from bridges.meshtastic.boards import FAMILIES, Board, is_board
from gateway.model import BridgeName

ROOT = Path(__file__).parents[2]
RAK = Board(path="/dev/serial/by-id/usb-RAK", device="/dev/ttyACM0", vendor=0x239A, product=0x8029, name="WisCore")
CP = Board(path="/dev/ttyUSB0", device="/dev/ttyUSB0", vendor=0x10C4, product=0xEA60, name="CP2102")


@pytest.mark.parametrize(("vendor", "product"), FAMILIES)
def test_each_board_has_a_rule_and_a_row_in_the_manual(vendor: int, product: int):
    assert is_board(vendor, product)
    assert f"`{vendor:04x}:{product:04x}`" in (ROOT / "docs/radio.md").read_text()
    rules = (ROOT / "deploy/70-crossband.rules").read_text()
    assert f'ATTRS{{idVendor}}=="{vendor:04x}", ATTRS{{idProduct}}=="{product:04x}"' in rules


def test_every_board_that_is_looked_for_is_named():
    every = [(vendor, product) for vendor in {one for one, _ in FAMILIES} for product in range(0x10000)]

    assert {each for each in every if is_board(*each)} == set(FAMILIES)


def test_boards_and_bridges_are_put_together():
    tables = {
        BridgeName("hill"): {"connection": "serial:auto"},
        BridgeName("lake"): {"connection": "tcp:lake.lan:4403"},
    }
    status = [
        {
            "name": "hill",
            "state": "up",
            "reason": "",
            "describe": {"port": RAK.path, "node": "!a1b2c300", "name": "Hilltop"},
        },
        {"name": "lake", "state": "down", "reason": "no answer within 5 s", "describe": {}},
    ]
    rows = listing.rows([RAK, CP], tables, status, held_by=lambda path: ["screen (12)"] if "USB" in path else [])

    assert [(row["port"], row["bridge"], row["state"], row["node"]) for row in rows] == [
        (RAK.path, "hill", "up", "!a1b2c300 Hilltop"),
        (CP.path, "", "", ""),
        ("tcp:lake.lan:4403", "lake", "no answer within 5 s", ""),
    ]
    assert [list(row["held_by"]) for row in rows] == [[], ["screen (12)"], []]
    assert [row["usb"] for row in rows] == ["239a:8029", "10c4:ea60", ""]
    assert re.search("RAK4631", str(listing.COLUMNS["board"](rows[0])))


def test_who_holds_a_port_is_named_also_where_its_board_is_none_that_is_looked_for():
    tables = {
        BridgeName("hill"): {"connection": "serial:/dev/serial0"},
        BridgeName("lake"): {"connection": "tcp:lake.lan:4403"},
    }
    rows = listing.rows([RAK], tables, [], held_by=lambda path: ["screen (12)"] if path == "/dev/serial0" else [])

    assert [(row["port"], row["bridge"], list(row["held_by"])) for row in rows] == [
        (RAK.path, "", []),
        ("/dev/serial0", "hill", ["screen (12)"]),
        ("tcp:lake.lan:4403", "lake", []),
    ]
