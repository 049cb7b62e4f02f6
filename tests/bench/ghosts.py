# SPDX-License-Identifier: GPL-3.0-or-later
"""What 500 ghosts in 200 rooms cost: resident memory, and time until somebody in the room sees a message.

The homeserver is a real Synapse, the gateway a process of its own. Beside each message through the gateway
another is put into the same room by a bare client, and both are timed until a third one's sync has them:
the homeserver's own time, which is most of it, is in both.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from bridges.sim.http10 import ask
from bridges.sim.synapse import Account, Synapse
from tests.bench.running import resident_mib
from tests.bench.talk import percentile

GHOSTS = 500
ROOMS = 200
AT_ONCE = 4
TEXTS = 100
EVERY_S = 0.2
SETTLE_S = 10.0
CHILD = Path(__file__).with_name("crowd_child.py")
BOT = "crossband"


@dataclass
class Observer:
    """Somebody in every room, who notes when each text is there."""

    server: Synapse
    http: aiohttp.ClientSession
    account: Account
    seen: dict[str, float] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: Any) -> Any:
        """Ask the homeserver as this user."""
        url = f"{self.server.url}/_matrix/client/v3/{path}"
        head = {"Authorization": f"Bearer {self.account.access_token}"}
        async with self.http.request(method, url, json=body, params=query, headers=head) as answer:
            found = await answer.json()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {answer.status} {found}")
            return found

    async def watch(self) -> None:
        """Sync for ever."""
        since = ""
        while True:
            query: dict[str, Any] = {"timeout": 20_000, "since": since} if since else {"timeout": 0}
            answer = await self.call("GET", "sync", **query)
            now, since = time.perf_counter(), answer["next_batch"]
            for room in answer.get("rooms", {}).get("join", {}).values():
                for event in room["timeline"]["events"]:
                    body = event["content"].get("body", "")
                    self.seen.setdefault(body.rpartition(": ")[2], now)
            self.news.set()

    async def until(self, text: str, within_s: float = 60) -> float:
        """Return when this text was there."""
        async with asyncio.timeout(within_s):
            while text not in self.seen:
                self.news.clear()
                await self.news.wait()
        return self.seen[text]


class Crowd:
    """A gateway between the homeserver and the crowd of nodes."""

    def __init__(self, folder: Path, server: Synapse, registration: Path, rooms: list[str]) -> None:
        self._folder = folder
        self._socket = folder / "crowd.sock"
        self._config = folder / "crossband.toml"
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        folder.mkdir()
        self._config.write_text(_toml(folder, server, registration, self._socket, rooms))

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process
        return self._process.pid

    @asynccontextmanager
    async def running(self, rooms: int) -> AsyncIterator[Crowd]:
        """Run it until its bridges are up and all its rooms are there."""
        self._process = self._spawn()
        try:
            async with asyncio.timeout(240):
                while not await self._is_up(rooms):
                    assert self._process.poll() is None, (self._folder / "log").read_text()[-3000:]
                    await asyncio.sleep(0.2)
            _, self._writer = await asyncio.open_unix_connection(str(self._socket))
            yield self
        finally:
            self._process.terminate()
            await asyncio.to_thread(self._process.wait)

    def say(self, number: int, text: str) -> None:
        """Let the ghost of this number say it in its room."""
        assert self._writer
        said = {"node": f"!{number + 0x1000:08x}", "room": f"c{number % ROOMS}", "body": text}
        self._writer.write(json.dumps(said).encode() + b"\n")

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(CHILD), str(os.getpid()), str(self._config)]
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    async def _is_up(self, rooms: int) -> bool:
        with suppress(OSError, TimeoutError):
            answer = await ask(self._folder / "run" / "control.sock", "GET", "/api/v1/status", timeout_s=5)
            bridges = {one["name"]: one for one in json.loads(answer.body)["bridges"]}
            facts = bridges["home"]["describe"]
            return all(one["state"] == "up" for one in bridges.values()) and facts["rooms"] == f"{rooms} of {rooms}"
        return False


async def ghosts(folder: Path) -> dict[str, float]:
    """Return the memory they add, in MiB, and p95 of the time beyond a bare client's, in ms."""
    registration = _registration(folder)
    settings = {"app_service_config_files": [str(registration)]}
    async with Synapse(folder / "synapse", settings=settings) as server, aiohttp.ClientSession() as http:
        observer = Observer(server, http, await server.register_user("observer"))
        speaker = Observer(server, http, await server.register_user("speaker"))
        rooms = await _rooms(observer, speaker)
        idle = await _idle(Crowd(folder / "idle", server, registration, []))
        crowd = Crowd(folder / "crowd", server, registration, rooms)
        watching = asyncio.create_task(observer.watch())
        try:
            async with crowd.running(len(rooms)):
                await _all_speak(crowd, observer)
                added = await _latency(crowd, observer, speaker, rooms)
                await asyncio.sleep(SETTLE_S)
                return {"ghosts_added_mib": resident_mib(crowd.pid) - idle, "ghosts_added_p95_ms": added}
        finally:
            watching.cancel()


def _registration(folder: Path) -> Path:
    """Make one with our own command, and say where it is."""
    path = folder / "registration.yaml"
    make = [sys.executable, "-m", "gateway", "matrix", "registration", "--server-name", "gw.test", "--no-url"]
    subprocess.run([*make, "--bot", BOT, "--out", str(path)], check=True, stdout=subprocess.DEVNULL)
    return path


async def _rooms(observer: Observer, speaker: Observer) -> list[str]:
    limit = asyncio.Semaphore(AT_ONCE)

    async def one() -> str:
        async with limit:
            made = await observer.call("POST", "createRoom", {"preset": "public_chat"})
            await speaker.call("POST", f"join/{made['room_id']}", {})
            return str(made["room_id"])

    return list(await asyncio.gather(*(one() for _ in range(ROOMS))))


async def _idle(crowd: Crowd) -> float:
    async with crowd.running(0):
        await asyncio.sleep(SETTLE_S)
        return resident_mib(crowd.pid)


async def _all_speak(crowd: Crowd, observer: Observer) -> None:
    for number in range(GHOSTS):
        crowd.say(number, f"first of {number}")
    for number in range(GHOSTS):
        await observer.until(f"first of {number}", within_s=240)


async def _latency(crowd: Crowd, observer: Observer, speaker: Observer, rooms: list[str]) -> float:
    chance = random.Random(1)
    through, bare = [], []
    for at in range(TEXTS):
        number = chance.randrange(GHOSTS)
        began = time.perf_counter()
        crowd.say(number, f"ghost text {at}")
        through.append(await observer.until(f"ghost text {at}") - began)
        await asyncio.sleep(EVERY_S * chance.uniform(0.5, 1.5))
        began = time.perf_counter()
        said = {"msgtype": "m.text", "body": f"bare text {at}"}
        await speaker.call("PUT", f"rooms/{rooms[number % ROOMS]}/send/m.room.message/b{at}", said)
        bare.append(await observer.until(f"bare text {at}") - began)
        await asyncio.sleep(EVERY_S * chance.uniform(0.5, 1.5))
    return 1000 * (percentile(through, 95) - percentile(bare, 95))


def _toml(folder: Path, server: Synapse, registration: Path, socket: Path, rooms: list[str]) -> str:
    head = {
        "gateway": {"name": "bench", "data_dir": str(folder / "data"), "run_dir": str(folder / "run")},
        "api": {"listen": "127.0.0.1:0"},
        "bridges.home": {
            "kind": "matrix",
            "mode": "appservice",
            "homeserver": server.url,
            "user_id": f"@{BOT}:{server.server_name}",
            "registration_file": str(registration),
            "notice": False,
        },
        "bridges.crowd": {"kind": "crowd", "socket": str(socket)},
    }
    tables = [f"[{name}]\n{_lines(table)}" for name, table in head.items()]
    routes = [
        f'[[routes]]\nname = "r{n}"\njoin = {json.dumps([f"home/{room}", f"crowd/c{n}"])}\n'
        for n, room in enumerate(rooms)
    ]
    return "\n".join([*tables, *routes])


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())  # JSON's values are TOML's
