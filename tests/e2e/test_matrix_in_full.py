# SPDX-License-Identifier: GPL-3.0-or-later
"""What people in Matrix rooms and on radios get of each other, row by row, by the real command on a real homeserver.

In both modes, in rooms of versions 11 and 12, encrypted and not, with two clients that share no line with the gateway
nor with each other: matrix-nio, and matrix-js-sdk with Element's crypto, which excludes insecure devices. The four
rooms have a radio each, so that they need not wait for each other's airtime.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.appservice import Registered, registered
from tests.e2e.quarters import District, Quarter, Someone, district
from tests.e2e.rows import ROWS, SAID, Row, tombstone, unbridge


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one row."""

    room: str
    client: str
    row: str
    took_s: float
    failure: str


async def tour(world: District, quarter: Quarter) -> list[Result]:
    """Go through all rows in one room, with its creator's client and after that with the guest's."""
    guests = [one for one in quarter.people.values() if one is not quarter.creator]
    people = [quarter.creator, *guests]
    rows: list[tuple[Row, Someone]] = []
    for who in people:
        rows += [(unbridge, quarter.creator)] if rows else []
        rows += [(row, who) for row in ROWS]
    rows += [(tombstone, who) for who in people]
    rows += [(unbridge, people[-1])]
    return [await walk(row, world, quarter, who) for row, who in rows]


async def walk(row: Row, world: District, quarter: Quarter, who: Someone) -> Result:
    began, failure = time.monotonic(), ""
    try:
        await row(world, quarter, who)
    except Exception:  # noqa: BLE001 - one row's failure is no reason to know nothing of the others
        failure = traceback.format_exc(limit=-4)
    took_s = time.monotonic() - began
    return Result(room=quarter.name, client=who.kind, row=row.__name__, took_s=took_s, failure=failure)


def table(mode: str, results: list[Result]) -> str:
    """Return which rows went well in which room with which client, and how many seconds each took."""
    columns = sorted({(result.room, result.client) for result in results})
    found = {
        (result.room, result.client, result.row): "FAILED" if result.failure else f"{result.took_s:.1f}"
        for result in results
    }
    lines = [f"{mode:<24}" + "".join(f"{f'{room[:9]} {client}':>15}" for room, client in columns)]
    lines += [
        f"{row:<24}" + "".join(f"{found.get((*column, row), '-'):>15}" for column in columns)
        for row in dict.fromkeys(result.row for result in results)
    ]
    return "\n".join(["", *lines])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Registered]:
    async with registered(tmp_path_factory.mktemp("in-full")) as made:
        yield made


@pytest.mark.timeout(240)
@pytest.mark.parametrize("has_guests", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["one", "both"])
@pytest.mark.parametrize("mode", ["bot", "appservice"])
async def test_what_users_expect_crosses_in_every_kind_of_room(home: Registered, mode: str, has_guests: bool) -> None:
    async with district(mode, home, has_guests=has_guests) as world:
        tours = await asyncio.gather(*(tour(world, quarter) for quarter in world.quarters))
        facts = {one["name"]: one["describe"] for one in (await world.box.status())["bridges"]}["home"]
        log = world.box.log_tail(10_000_000)
    results = [result for one in tours for result in one]
    print(table(mode, results))
    failures = [f"{one.room}, {one.client}, {one.row}: {one.failure}" for one in results if one.failure]
    assert not failures, "\n".join(failures)
    secrets = [home.tokens["as_token"], home.tokens["hs_token"], world.token or "no token"]
    assert [words for words in (*SAID, *secrets) if words in log] == []
    assert "cross-signed" in facts["encrypted"]
    assert "no ghosts there" in facts["encrypted"]
