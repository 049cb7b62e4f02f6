# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole world for one test: real Synapse, simulated radios on a PTY, the real command, people on both sides."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from bridges.sim.airwaves import Airwaves, Heard
from bridges.sim.box import GatewayBox
from bridges.sim.person import Person, Seen
from bridges.sim.synapse import Synapse
from bridges.sim.town import Plan, Town
from gateway.model import PENDING

NEAR, LISTENER = "Market square", "River lock"
"""Who talks at the far radios, and who listens."""
ROOM = "town"
WITHIN_S = 40.0


class World:
    """What tests do: say something on one side, and wait for it on the other.

    `synapse.kill()/start()`, `mesh.unplug()/plug()`, `box.kill9()/start()` take a part away and bring it back.
    """

    def __init__(self, town: Town) -> None:
        self.town = town
        self.synapse: Synapse = town.synapse
        self.box: GatewayBox = town.box
        self.radio: Airwaves = town.radios
        self.mesh: Airwaves = town.radios
        self.person: Person = town.people["Baker"]
        self.another: Person = town.people["Teacher"]
        self.watcher: Person = town.visitor

    async def heard(self, text: str, *, node: str = LISTENER, timeout_s: float = WITHIN_S) -> Heard:
        """Wait until the gateway's radio has said exactly this, and a far one heard it."""
        return await self.radio.heard.wait_for(
            lambda heard: heard.text == text and self._is_ours(heard, node), timeout_s=timeout_s
        )

    async def seen(self, text: str, *, timeout_s: float = WITHIN_S) -> Seen:
        """Wait until somebody in the room sees exactly this from the gateway."""
        return await self.watcher.seen.wait_for(
            lambda seen: seen.text == text and seen.sender == self.bot, timeout_s=timeout_s
        )

    async def settled(self) -> None:
        """Wait until nothing is on its way: until then an answer can be quicker than what the network tells us."""
        await self.box.wait_until(self._is_settled)

    async def _is_settled(self) -> bool:
        deliveries = (await self.box.status())["deliveries"]
        return not any(states.get(state) for states in deliveries.values() for state in PENDING)

    @property
    def bot(self) -> str:
        """The gateway's account."""
        return self.box.wiring.user_id

    def all_heard(self, *, node: str = LISTENER) -> list[str]:
        """Return every text of the gateway's that came out of a far radio, in order."""
        return [heard.text for heard in self.radio.heard if self._is_ours(heard, node)]

    def all_seen(self) -> list[str]:
        """Return every text of the gateway's in the room, in order, without its notices."""
        return [seen.text for seen in self.watcher.seen if seen.sender == self.bot and seen.msgtype == "m.text"]

    def _is_ours(self, heard: Heard, node: str) -> bool:
        return heard.node == node and heard.sender == self.radio.gateway


@asynccontextmanager
async def build_world(
    synapse: Synapse, *, more: str = "", tables: Mapping[str, str] | None = None, also: str = ""
) -> AsyncIterator[World]:
    """Build a world around a running homeserver: accounts, room and directory are its own.

    `more` is added to the gateway's configuration, `tables` to those of its bridges. `also`: a node with a serial
    port, ``@PORT@`` in `more`; ``@ROOM@`` there is the room's alias.
    """
    # Not pytest's directory: its names are too long for the unix sockets in it.
    folder = Path(tempfile.mkdtemp(prefix="cb-"))
    prefix = f"{secrets.token_hex(3)}-"
    more = more.replace("@PORT@", str(folder / "mesh" / f"radio-{also}"))
    more = more.replace("@ROOM@", f"#{prefix}{ROOM}:{synapse.server_name}")
    plan = Plan(folder=folder, synapse=synapse, prefix=prefix, room=ROOM, more=more, tables=tables or {}, also=also)
    try:
        async with Town(plan) as town:
            yield World(town)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
