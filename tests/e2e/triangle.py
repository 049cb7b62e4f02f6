# SPDX-License-Identifier: GPL-3.0-or-later
"""Three boxes on one LAN, each with what the others lack: a way to Matrix, a radio, people at a page."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bridges.sim.airwaves import Airwaves, Heard
from bridges.sim.control import SimProcess
from bridges.sim.loopback import LOOPBACK
from bridges.sim.person import Person, Seen
from bridges.sim.synapse import Synapse
from bridges.sim.town import TIME_SCALE
from tests.e2e.lan_process import LanProcess
from tests.e2e.world import LISTENER
from tests.lan_boxes import Cable

WITHIN_S = 40.0
_MATRIX = """
[bridges.home]
kind = "matrix"
homeserver = "http://{address}"
user_id = "{user}"
{login}
[[routes]]
name = "town"
join = ["home/{room}", "lan/town"]
"""
_TOKEN = 'access_token_file = "matrix.token"'
_READ = '"*" = "read"'
_ANYBODY = '"~*" = "transmit"\n"!*" = "transmit"\n"@*" = "transmit"'


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A room with people in it, and how the gateway gets in."""

    synapse: Synapse
    gateway: str
    login: str
    token: str
    alias: str
    baker: Person
    watcher: Person

    def table(self, address: str) -> str:
        """Return the tables of a box that has its homeserver there."""
        return _MATRIX.format(address=address, user=self.gateway, login=self.login, room=self.alias)

    async def events(self) -> list[dict[str, Any]]:
        """Return what is in the room, oldest first."""
        page = await self.watcher.call("GET", f"rooms/{quote(self.baker.room_id)}/messages?dir=b&limit=500")
        return list(reversed(page["chunk"]))

    async def event(self, holds: Any) -> dict[str, Any]:
        """Wait for an event of which this holds."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                for event in await self.events():
                    if holds(event):
                        return event
                await asyncio.sleep(0.2)

    async def seen(self, text: str) -> Seen:
        """Wait until somebody in the room sees exactly this."""
        return await self.watcher.seen.wait_for(lambda seen: seen.text == text, timeout_s=WITHIN_S)


@asynccontextmanager
async def matrix_room(synapse: Synapse, *, bot: str = "", login: str = "") -> AsyncIterator[Matrix]:
    """Make a room, its people and, unless it is an application service's `bot`, the gateway's account."""
    prefix = secrets.token_hex(3)
    account = None if bot else await synapse.register_user(f"{prefix}-crossband")
    gateway = account.user_id if account else bot
    people = []
    for name in ("Baker", "Watcher"):
        made = await synapse.register_user(f"{prefix}-{name.lower()}")
        person = Person(synapse.url, user_id=made.user_id, access_token=made.access_token)
        await person.rename(name)
        people.append(person)
    baker, watcher = people
    await baker.create_room(f"{prefix}-town", invite=[gateway, watcher.user_id])
    await watcher.join(baker.room_id)
    async with baker, watcher:
        yield Matrix(
            synapse=synapse,
            gateway=gateway,
            login=login or _TOKEN,
            token=account.access_token if account else "",
            alias=f"#{prefix}-town:{synapse.server_name}",
            baker=baker,
            watcher=watcher,
        )


class Triangle:
    """`harbour` has Matrix, over `internet`; `hilltop` has the radio; `valley` has a page and nothing else."""

    def __init__(self, folder: Path, matrix: Matrix, internet: Cable, mesh: SimProcess) -> None:
        self.matrix = matrix
        self.internet = internet
        self.radio = Airwaves(mesh.directory)
        token = folder / "a" / "matrix.token"
        ends = matrix.table(internet.address)
        self.harbour = LanProcess(folder / "a", "harbour", syncs=True, permissions=_READ, ends=ends)
        token.touch(mode=0o600)
        token.write_text(matrix.token)
        self.hilltop = LanProcess(folder / "b", "hilltop", radio=mesh.port, syncs=True, permissions=_ANYBODY)
        self.valley = LanProcess(folder / "c", "valley", syncs=True, permissions=_READ)

    @property
    def boxes(self) -> tuple[LanProcess, ...]:
        """All three."""
        return self.harbour, self.hilltop, self.valley

    async def unite(self) -> None:
        """Let the second and the third box in, as people do."""
        for box in (self.hilltop, self.valley):
            await self.harbour.let_in(box)

    async def heard(self, text: str) -> Heard:
        """Wait until exactly this came out of a far radio."""
        return await self.radio.wait_text(text, node=LISTENER, timeout_s=WITHIN_S)

    def all_heard(self) -> list[Heard]:
        """Return what came out of one far radio, in order."""
        return [one for one in self.radio.heard if one.node == LISTENER]


async def messages(box: LanProcess) -> dict[str, dict[str, Any]]:
    """Return what `crossband messages` says of each text at a box, by its words."""
    found = json.loads(await box.command("messages", "--limit", "500", "-o", "json"))
    return {one["text"]: one for one in found}


@asynccontextmanager
async def build_triangle(matrix: Matrix) -> AsyncIterator[Triangle]:
    """Three boxes that run and are one community."""
    folder = Path(tempfile.mkdtemp(prefix="cb-"))  # a short path: it holds sockets
    try:
        async with AsyncExitStack() as stack:
            internet = await stack.enter_async_context(Cable(f"{LOOPBACK}:{matrix.synapse.port}"))
            mesh = await stack.enter_async_context(SimProcess(folder / "mesh", time_scale=TIME_SCALE))
            triangle = Triangle(folder, matrix, internet, mesh)
            await stack.enter_async_context(triangle.radio)
            await asyncio.gather(*(stack.enter_async_context(each.box) for each in triangle.boxes))
            await triangle.unite()
            yield triangle
    finally:
        shutil.rmtree(folder, ignore_errors=True)
