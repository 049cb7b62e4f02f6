# SPDX-License-Identifier: GPL-3.0-or-later
"""A command whose answer never gets through must not keep everything else from being read."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from bridges.matrix.client import Client
from bridges.matrix.config import MatrixConfig
from bridges.matrix.management.clerk import MAX_TRIES
from bridges.matrix.management.command import Command
from bridges.matrix.management.consents import Consents
from bridges.matrix.management.office import Office
from bridges.matrix.nicks import Nicks
from bridges.matrix.notices import Notices
from bridges.matrix.rooms import Rooms
from gateway.model import (
    Asked,
    AuthFailed,
    BridgeContext,
    BridgeName,
    LinkDown,
    NoDesk,
    RateLimited,
    SenderId,
    Unconfirmed,
)
from tests.clocks import HurryingClock

TABLE = {
    "homeserver": "https://matrix.example.org",
    "user_id": "@bot:gw.test",
    "access_token_file": "/secrets/matrix.token",
}
COMMAND = Command(event_id="$e", room_id="!r", sender=SenderId("@ali:gw.test"), sender_name="Ali", words="status")


class Line(Client):
    """A homeserver that takes nothing."""

    error: Exception = LinkDown("cut")

    async def get(self, *path: str, **_: Any) -> Any:
        return {}

    async def put(self, *path: str, **_: Any) -> Any:
        raise self.error


class Desk(NoDesk):
    def __init__(self) -> None:
        self.asked = 0

    async def answer(self, asked: Asked) -> str:
        self.asked += 1
        return "fine"


@pytest.fixture
def counts() -> list[str]:
    return []


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def line() -> Line:
    return Line("https://matrix.example.org", "@bot:gw.test")


@pytest.fixture
def office(tmp_path: Path, counts: list[str], desk: Desk, line: Line) -> Office:
    context = BridgeContext(
        name=BridgeName("home"),
        table=TABLE,
        state_dir=tmp_path,
        clock=HurryingClock(),
        random=random.Random(1),
        count=counts.append,
        desk=desk,
    )
    config = MatrixConfig.from_table(TABLE)
    rooms = Rooms(line, config, context)
    consents = Consents(tmp_path / "consents.json")
    nicks = Nicks(tmp_path / "nicks.json")
    return Office(line, context, config, rooms, notices=Notices(line, context), consents=consents, nicks=nicks)


@pytest.mark.parametrize("error", [LinkDown("cut"), Unconfirmed("no answer")])
async def test_it_is_tried_a_few_times_and_given_up_and_done_once(
    office: Office, counts: list[str], desk: Desk, line: Line, error: Exception
) -> None:
    line.error = error
    for _ in range(MAX_TRIES - 1):
        with pytest.raises(LinkDown):
            await office.carry_out(COMMAND)
    assert await office.carry_out(COMMAND) is None
    assert counts.count("matrix_command_given_up") == 1
    assert desk.asked == 1


async def test_patience_is_the_receiving_sides_to_have(office: Office, line: Line) -> None:
    line.error = RateLimited("slow down", retry_after_s=7)
    with pytest.raises(RateLimited):
        await office.carry_out(COMMAND)


async def test_a_refused_login_ends_the_bridge_and_not_the_command(office: Office, line: Line) -> None:
    line.error = AuthFailed("gone")
    for _ in range(MAX_TRIES + 1):
        with pytest.raises(AuthFailed):
            await office.carry_out(COMMAND)
