# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of ``crossband radio list``: boards that are plugged in, and radio bridges."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bridges.meshtastic.boards import Board
from gateway.model import BridgeName
from gateway.model.devices import Holder, holders

Row = Mapping[str, Any]

COLUMNS: Mapping[str, Callable[[Row], object]] = {
    "port": lambda row: row["port"],
    "usb": lambda row: row["usb"],
    "board": lambda row: " ".join(filter(None, (row["name"], f"({row['family']})" if row["family"] else ""))),
    "bridge": lambda row: row["bridge"],
    "state": lambda row: row["state"],
    "node": lambda row: row["node"],
    "held by": lambda row: ", ".join(row["held_by"]),
}


def rows(
    boards: Sequence[Board],
    tables: Mapping[BridgeName, Mapping[str, Any]],
    status: Sequence[Mapping[str, Any]],
    *,
    held_by: Callable[[str], Sequence[Holder]] = holders,
) -> Sequence[Row]:
    """Return a row for each board, with the bridge that has it; then one for each bridge without a board.

    `tables`: the radio bridges of the configuration; `status`: all bridges as the running gateway told, if one runs.
    """
    bridges = [_bridge(name, table, status) for name, table in tables.items()]
    found = []
    for board in boards:
        mine = next((each for each in bridges if _is_at(each, board)), None)
        found.append(_row(board, mine, held_by(board.device)))
    taken = {row["bridge"] for row in found}
    return [*found, *(_alone(each, held_by) for each in bridges if each["bridge"] not in taken)]


def _row(board: Board, bridge: Row | None, held_by: Sequence[Holder]) -> Row:
    own = {"bridge": "", "state": "", "node": "", "connection": ""} if bridge is None else bridge
    about = {"port": board.path, "device": board.device, "usb": board.usb, "name": board.name, "family": board.family}
    return {**own, **about, "held_by": [str(each) for each in held_by]}


def _alone(bridge: Row, held_by: Callable[[str], Sequence[Holder]]) -> Row:
    """Return the row of a bridge whose port is none of the boards that are looked for: a UART's, another make's."""
    port = bridge["port"]
    return {**bridge, "held_by": [str(each) for each in held_by(port)]} if port.startswith("/") else bridge


def _bridge(name: BridgeName, table: Mapping[str, Any], status: Sequence[Mapping[str, Any]]) -> Row:
    told = next((one for one in status if one["name"] == name), None)
    describe = told["describe"] if told is not None else {}
    connection = str(table["connection"])
    port = describe.get("port", connection).removeprefix("serial:")
    node = " ".join(filter(None, (describe.get("node"), describe.get("name"))))
    return {
        "port": port,
        "device": "",
        "usb": "",
        "name": "",
        "family": "",
        "bridge": name,
        "connection": connection,
        "state": "no gateway runs" if told is None else (told["reason"] or told["state"]),
        "node": node,
        "held_by": [],
    }


def _is_at(bridge: Row, board: Board) -> bool:
    port = bridge["port"]
    return port in (board.path, board.device) or (port.startswith("/") and os.path.realpath(port) == board.device)
