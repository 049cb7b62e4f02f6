# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bridges.matrix.board import MOST_MARKS, MOST_TOLD, Board
from bridges.matrix.progress import Standing
from gateway.model import RemoteId

WAITING = Standing(emoji="⏳", reaction="$r")


async def read(file: Path) -> Board:
    board = Board(file)
    await board.read()
    return board


async def test_what_stands_and_what_was_told_survives_a_restart(tmp_path: Path) -> None:
    board = await read(tmp_path / "progress.json")
    await board.mark(RemoteId("$1"), WAITING)
    await board.mark(RemoteId("$2"), WAITING)
    await board.mark(RemoteId("$1"), None)
    await board.tell(["m1 radio/LongFast"])

    again = await read(tmp_path / "progress.json")
    assert again.marks == {RemoteId("$2"): WAITING}
    assert list(again.told) == ["m1 radio/LongFast"]
    assert (tmp_path / "progress.json").stat().st_mode & 0o777 == 0o600


async def test_what_was_being_put_is_known_to_be_unfinished_after_a_restart(tmp_path: Path) -> None:
    board = await read(tmp_path / "progress.json")
    await board.mark(RemoteId("$1"), replace(WAITING, reaction=None))
    await board.mark(RemoteId("$2"), replace(WAITING, reaction=""))
    again = await read(tmp_path / "progress.json")
    assert [standing.reaction for standing in again.marks.values()] == [None, ""]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"marks": 7, "told": {}}', '{"marks": {"x": {"emoji": "a"}, "$y": 1}}']
)
async def test_a_file_of_any_shape_is_an_empty_board(tmp_path: Path, text: str) -> None:
    (tmp_path / "progress.json").write_text(text)
    board = await read(tmp_path / "progress.json")
    assert (board.marks, board.told) == ({}, {})


async def test_it_is_bounded_and_forgets_the_oldest(tmp_path: Path) -> None:
    board = await read(tmp_path / "progress.json")
    await board.tell([str(n) for n in range(MOST_TOLD + 2)])
    board.marks.update({RemoteId(f"${n}"): WAITING for n in range(MOST_MARKS)})
    await board.mark(RemoteId("$new"), WAITING)
    assert (len(board.told), next(iter(board.told))) == (MOST_TOLD, "2")
    assert (len(board.marks), "$0" in board.marks, "$new" in board.marks) == (MOST_MARKS, False, True)


async def test_a_disk_that_refuses_costs_memory_across_restarts_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    board = await read(tmp_path / "file" / "progress.json")
    await board.mark(RemoteId("$1"), WAITING)
    assert board.marks == {RemoteId("$1"): WAITING}
