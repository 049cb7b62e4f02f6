# SPDX-License-Identifier: GPL-3.0-or-later
"""A person in Matrix rooms: says things, and sees what everybody sees. Shares no code with the Matrix bridge."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

from bridges.sim.http10 import Answer, NoAnswerError, ask
from bridges.sim.timeline import KEPT, Timeline

_CLIENT = "/_matrix/client/v3"
_PROFILE = "com.beeper.per_message_profile"  # MSC4144
_SAID = "org.crossband.said_ms"
_LONG_POLL_S = 20
_PAGE = 100
_PAUSE_S = 0.25
_SYNC_FILTER = {
    "room": {"timeline": {"limit": _PAGE}, "ephemeral": {"types": []}, "account_data": {"types": []}},
    "presence": {"types": []},
}


class RefusedError(Exception):
    """The homeserver answered that it won't; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A message as it stands in a room."""

    event_id: str
    room_id: str
    sender: str
    """The account that sent it."""
    name: str
    """Under whose name it shows: the message's own profile if it has one, else empty."""
    text: str
    """The body without the name that clients without per-message profiles would show, and without its time."""
    said_ms: int | None
    """When it was said, where the message says that it came late."""
    msgtype: str
    reply_to: str | None


class Person:
    """One account, logged in. As an async context manager it watches its rooms: `seen` is what it saw, in order."""

    def __init__(self, homeserver: str, *, user_id: str, access_token: str, name: str = "") -> None:
        url = urlsplit(homeserver)
        self._place = (url.hostname or "", url.port or 80)
        self._token = access_token
        self.user_id = user_id
        self.name = name or user_id
        self.room_id = ""
        """Where `say` says it, unless told otherwise: the room created or joined last."""
        self.seen: Timeline[Seen] = Timeline()
        self.taken_back: set[str] = set()
        """Events that were redacted: what `seen` has of them doesn't stand in the room any more."""
        self._txn = itertools.count(1)
        self._run = secrets.token_hex(4)
        self._known: OrderedDict[str, None] = OrderedDict()
        self._since = ""
        self._watching: asyncio.Task[None] | None = None

    @classmethod
    async def login(cls, homeserver: str, user: str, password: str) -> Self:
        """Log in with a password; RefusedError if it is wrong."""
        anyone = cls(homeserver, user_id=user, access_token="")
        wish = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": password}
        made = await anyone.call("POST", "login", wish)
        return cls(homeserver, user_id=made["user_id"], access_token=made["access_token"])

    async def __aenter__(self) -> Self:
        await self._sync(0)
        self._watching = asyncio.create_task(self._watch(), name=f"watch as {self.user_id}")
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
            self._watching = None

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask the client-server API, ``/_matrix/client/v3/`` in front; RefusedError, or OSError if it is away."""
        answer = await ask(self._place, method, f"{_CLIENT}/{path}", body=body, token=self._token, timeout_s=30)
        return _content(answer)

    async def rename(self, name: str) -> None:
        """Show under another name."""
        await self.call("PUT", f"profile/{quote(self.user_id)}/displayname", {"displayname": name})
        self.name = name

    async def create_room(self, alias: str, *, name: str = "", invite: Sequence[str] = (), public: bool = False) -> str:
        """Make a room with the local alias ``#alias:server``; return its id."""
        wish = {
            "room_alias_name": alias,
            "name": name or alias,
            "invite": list(invite),
            "preset": "public_chat" if public else "private_chat",
        }
        self.room_id = str((await self.call("POST", "createRoom", wish))["room_id"])
        return self.room_id

    async def invite(self, user_id: str, room_id: str = "") -> None:
        """Invite somebody."""
        await self.call("POST", f"rooms/{quote(room_id or self.room_id)}/invite", {"user_id": user_id})

    async def join(self, room: str) -> str:
        """Join by id or alias; return the room's id."""
        self.room_id = str((await self.call("POST", f"join/{quote(room)}", {}))["room_id"])
        return self.room_id

    async def say(self, text: str, reply_to: str | None = None, *, room_id: str = "", timeout_s: float = 30.0) -> str:
        """Say something; return its event id.

        Like any client it tries again, as the same transaction, while the homeserver is away;
        TimeoutError after `timeout_s`.
        """
        content: dict[str, Any] = {"msgtype": "m.text", "body": text, "m.mentions": {}}
        if reply_to is not None:
            content["m.relates_to"] = {"m.in_reply_to": {"event_id": reply_to}}
        return await self.send("m.room.message", content, room_id=room_id, timeout_s=timeout_s)

    async def send(self, kind: str, content: Mapping[str, Any], *, room_id: str = "", timeout_s: float = 30.0) -> str:
        """Send any event, otherwise as `say`."""
        txn = f"{self._run}.{next(self._txn)}"
        path = f"rooms/{quote(room_id or self.room_id)}/send/{kind}/{txn}"
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    return str((await self.call("PUT", path, content))["event_id"])
                except OSError:
                    await asyncio.sleep(_PAUSE_S)

    async def wait_text(self, text: str, timeout_s: float = 30.0) -> Seen:
        """Return the first message seen, now or soon, with exactly this text; TimeoutError."""
        return await self.seen.wait_for(lambda seen: seen.text == text, timeout_s)

    async def _watch(self) -> None:
        while True:
            try:
                await self._sync(_LONG_POLL_S)
            except (OSError, RefusedError):
                await asyncio.sleep(_PAUSE_S)

    async def _sync(self, wait_s: int) -> None:
        query = {"timeout": str(wait_s * 1000), "filter": json.dumps(_SYNC_FILTER)}
        if self._since:
            query["since"] = self._since
        answer = await self.call("GET", f"sync?{urlencode(query)}")
        for room_id, room in answer.get("rooms", {}).get("join", {}).items():
            timeline = room.get("timeline", {})
            missed = await self._missed(room_id, timeline) if timeline.get("limited") and self._since else []
            for event in (*missed, *timeline.get("events", ())):
                self._see(room_id, event)
        self._since = answer["next_batch"]

    async def _missed(self, room_id: str, timeline: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return what lies between the last sync and a limited timeline, oldest first."""
        backwards: list[dict[str, Any]] = []
        token = timeline.get("prev_batch")
        while token:
            query = urlencode({"dir": "b", "from": token, "to": self._since, "limit": _PAGE})
            page = await self.call("GET", f"rooms/{quote(room_id)}/messages?{query}")
            backwards += page["chunk"]
            token = page.get("end") if page["chunk"] else None
        return backwards[::-1]

    def _see(self, room_id: str, event: Mapping[str, Any]) -> None:
        content = event.get("content", {})
        if event.get("type") == "m.room.redaction":
            self.taken_back.add(event.get("redacts") or content.get("redacts", ""))
        if event.get("type") != "m.room.message" or "body" not in content or event["event_id"] in self._known:
            return
        self._known[event["event_id"]] = None
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        profile = content.get(_PROFILE, {})
        name = profile.get("displayname", "")
        text = content["body"].removeprefix(f"{name}: ") if profile.get("has_fallback") else content["body"]
        said_ms = content.get(_SAID)
        self.seen.add(
            Seen(
                event_id=event["event_id"],
                room_id=room_id,
                sender=event["sender"],
                name=name,
                text=text if said_ms is None else text.partition("] ")[2],
                said_ms=said_ms,
                msgtype=content.get("msgtype", ""),
                reply_to=content.get("m.relates_to", {}).get("m.in_reply_to", {}).get("event_id"),
            )
        )


def _content(answer: Answer) -> Any:
    if answer.status >= 500 or answer.status == 429:  # noqa: PLR2004 - it may yet do it: as good as away
        raise NoAnswerError(f"the homeserver answered {answer.status}")
    content = answer.json()
    if answer.status >= 400:  # noqa: PLR2004 - HTTP
        raise RefusedError(f"{content.get('errcode')}: {content.get('error')}")
    return content
