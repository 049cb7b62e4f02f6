# SPDX-License-Identifier: GPL-3.0-or-later
"""The real leg's world: Synapse with a file database, a simulated mesh on a PTY, people on both, what they say."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridges.sim.control import SimProcess
from bridges.sim.person import Person, Seen
from bridges.sim.synapse import Account, Synapse
from tests.chaos.ledger import Ledger

TIME_SCALE = 16.0
"""Mesh and gateway seconds in a real one."""
CHANNELS = {"town": "ShortTurbo", "river": "Town", "chat": "!a1b2c302"}
"""Where each room's words go on the radio."""
EARS = {"ShortTurbo": "River lock", "Town": "Ridge relay", "!a1b2c302": "Market square"}
"""At whose radio we listen to what goes there; the second speaks on the first's channel, and so on."""
MOUTHS = {"ShortTurbo": ("Ridge relay", 0), "Town": ("River lock", 1), "!a1b2c302": ("Market square", None)}
"""Who speaks there, and on which channel; None: to the gateway's node alone."""
_SAID = re.compile(r"(?:\w+: )?(?:\[[-\d: ]+\] )?([^\s#]+/[^\s#]+)#(\d+)")
"""A late one has its own time in front."""
TEXT_PORT = 1

# The storm sets the clock by days and years: how old what an earlier run journalled is can't be known then, so
# nothing here ends by its age. What clocks do to ages has tests of its own.
CONFIG = """
[gateway]
name = "storm"
data_dir = "{data}"
run_dir = "{run}"
[queue]
url = "embedded"
[api]
listen = "127.0.0.1:0"
[journal]
age = "3000d"
[log]
format = "console"
[permissions]
"*" = "transmit"
[bridges.home]
kind = "matrix"
homeserver = "{homeserver}"
user_id = "{user}"
access_token_file = "{token}"
[bridges.radio]
kind = "meshtastic"
connection = "serial:{port}"
airtime_share = "100%"
direct = "home/{chat}"
[[routes]]
name = "town"
join = ["home/{town}", "radio/ShortTurbo"]
expires = {{ radio = "3000d" }}
[[routes]]
name = "river"
join = ["home/{river}", "radio/Town"]
expires = {{ radio = "3000d" }}
[[routes]]
name = "chat"
from = ["home/{chat}"]
to = ["radio/!a1b2c302"]
expires = {{ radio = "3000d" }}
"""


@dataclass(slots=True, kw_only=True)
class Village:
    """What acts use of it."""

    synapse: Synapse
    mesh: SimProcess
    gateway: Account
    rooms: dict[str, str]
    """Ids by name."""
    speakers: dict[str, Person]
    """By room."""
    gateway_node: int
    event_ids: dict[tuple[str, int], str]
    """Of what was said in rooms: by stream and number."""

    def config(self, data_dir: Path, run_dir: Path) -> str:
        token = data_dir.parent / "token"
        token.touch(mode=0o600)
        token.write_text(self.gateway.access_token)
        return CONFIG.format(
            data=data_dir,
            run=run_dir,
            homeserver=self.synapse.url,
            user=self.gateway.user_id,
            token=token,
            port=self.mesh.port,
            **self.rooms,
        )


@asynccontextmanager
async def village(folder: Path, run_dir: Path, seed: int, ledger: Ledger) -> AsyncIterator[Village]:
    """Build it; what people see of the gateway's goes into the ledger."""
    async with AsyncExitStack() as stack:
        synapse = await stack.enter_async_context(
            Synapse(folder / "synapse", database="file", server_name="storm.test")
        )
        options = {"time_scale": TIME_SCALE, "preset": "SHORT_TURBO", "seed": seed}
        mesh = await stack.enter_async_context(SimProcess(run_dir / "mesh", **options))
        gateway = await synapse.register_user("crossband")
        rooms: dict[str, str] = {}
        speakers: dict[str, Person] = {}
        watcher = await _person(synapse, "watcher")
        for name in CHANNELS:
            speakers[name] = await _person(synapse, f"says-{name}")
            await speakers[name].rename("P")
            invited = [gateway.user_id, watcher.user_id]
            rooms[name] = await speakers[name].create_room(name, invite=invited)
            await watcher.join(rooms[name])
        names = {room: name for name, room in rooms.items()}
        watcher.seen.told.append(lambda seen: _seen(ledger, seen, gateway.user_id, names))
        await stack.enter_async_context(watcher)
        nodes = await mesh.call("nodes")
        ears = asyncio.create_task(_hear(mesh, ledger, nodes[0]["number"]))
        stack.push_async_callback(_end, ears)
        yield Village(
            synapse=synapse,
            mesh=mesh,
            gateway=gateway,
            rooms=rooms,
            speakers=speakers,
            gateway_node=nodes[0]["number"],
            event_ids={},
        )


def said(text: str) -> tuple[str, int] | None:
    """Return where a text of ours was said and its number there; None if it is no text of ours."""
    found = _SAID.fullmatch(text)
    return (found[1], int(found[2])) if found else None


def where_on_air(event: dict[str, Any]) -> str:
    """Return the conversation that a packet came in on, as the gateway writes it."""
    if event["direct"]:
        return "!" + f"{event['to']:08x}"
    return "ShortTurbo" if event["channel"] == 0 else "Town"


async def _hear(mesh: SimProcess, ledger: Ledger, gateway_node: int) -> None:
    async for event in mesh.watch():
        place = where_on_air(event)
        words = said(event["text"]) if event["portnum"] == TEXT_PORT else None
        if words is not None and event["sender"] == gateway_node and event["node"] == EARS[place]:
            ledger.see(f"{words[0]}>radio/{place}", words[1], is_early=True)


def _seen(ledger: Ledger, seen: Seen, bot: str, names: dict[str, str]) -> None:
    words = said(seen.text)
    if words is not None and seen.sender == bot and seen.msgtype == "m.text":
        ledger.see(f"{words[0]}>home/{names[seen.room_id]}", words[1], is_early=True)


async def _person(synapse: Synapse, name: str) -> Person:
    account = await synapse.register_user(name)
    return Person(synapse.url, user_id=account.user_id, access_token=account.access_token)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
