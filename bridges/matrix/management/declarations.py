# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bridged room says of itself, for clients that show it: MSC2346's state, and Beeper's room features."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog

from bridges.matrix.client import Client
from bridges.matrix.login import keep, read_kept
from bridges.matrix.management.people import is_person
from bridges.matrix.wire import mapping
from gateway.model import Address, AuthFailed, BridgeContext, BridgeError, Joined, short_hash

log = structlog.get_logger()

BRIDGE_TYPES = ("m.bridge", "uk.half-shot.bridge")
"""MSC2346, by its own name and by the one that clients read until it has that."""
FEATURES_TYPE = "com.beeper.room_features"
RADIO_TEXT_BYTES = 200
"""What one radio packet surely holds beside a name."""
MOST_ROOMS = 2_000

_REJECTED, _DROPPED, _PARTIAL, _FULL = -2, -1, 1, 2
"""Levels of support, as Beeper's clients read them."""


def declared(routes: Iterable[Joined], here: Address, bot: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the state events of a room that shares its messages by these routes, by type and state key. Pure."""
    events: dict[tuple[str, str], dict[str, Any]] = {}
    exposed = False
    for joined in routes:
        exposed |= bool(joined.exposed_to)
        for there in joined.ends:
            if there != here:
                content = _bridge(there, joined, bot)
                events |= {(type_, _key(there)): content for type_ in BRIDGE_TYPES}
    if exposed:
        events[FEATURES_TYPE, ""] = _features()
    return events


def _key(there: Address) -> str:
    return f"org.crossband://{quote(there.bridge)}/{quote(there.conversation, safe='')}"


def _bridge(there: Address, joined: Joined, bot: str) -> dict[str, Any]:
    content: dict[str, Any] = {
        "bridgebot": bot,
        "protocol": {"id": "org.crossband", "displayname": "Crossband"},
        "network": {"id": there.bridge, "displayname": there.bridge},
        "channel": {"id": there.conversation, "displayname": there.conversation},
    }
    if joined.by is not None and joined.by.startswith("@"):
        content["creator"] = joined.by
    if is_person(there, ""):
        content["com.beeper.room_type.v2"] = "dm"
    return content


def _features() -> dict[str, Any]:
    """Return what a room that is carried by radio takes: few words, and no files."""
    rejected = {"mime_types": {"*/*": _REJECTED}, "caption": _REJECTED}
    return {
        "id": "org.crossband.radio.1",
        "max_text_length": RADIO_TEXT_BYTES,
        "file": dict.fromkeys(("m.image", "m.video", "m.audio", "m.file"), rejected),
        "location_message": _PARTIAL,
        "poll": _DROPPED,
        "thread": _PARTIAL,
        "reply": _FULL,
        "reaction": _FULL,
        "edit": _PARTIAL,
        "delete": _PARTIAL,
    }


class Declarations:
    """Puts those events where they differ from what stands. They are an extra: no failure of theirs stops anything."""

    def __init__(self, client: Client, context: BridgeContext) -> None:
        self._client = client
        self._context = context
        self._file: Path = context.state_dir / "declared.json"
        self._done: dict[str, Any] | None = None
        self._tried: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        """By room: why it doesn't say so."""

    async def declare(self, room_id: str, here: Address, routes: Sequence[Joined]) -> bool:
        """Let the room say what it shares its messages with; False if it doesn't let us. Raises AuthFailed only."""
        wanted, done = declared(routes, here, self._client.user_id), self._read()
        if not wanted and room_id not in done:
            return True
        mark = short_hash(json.dumps(sorted((*key, content) for key, content in wanted.items()), default=str))
        before = mapping(done.get(room_id))
        if mark in (before.get("mark"), self._tried.get(room_id)):
            return room_id not in self.refused
        gone: dict[tuple[str, str], dict[str, Any]] = {
            key: {} for key in _keys(before.get("keys")) if key not in wanted
        }
        self._tried[room_id] = mark
        reason = await self._put_all(room_id, wanted | gone)
        self._note(room_id, reason)
        if not reason:
            await self._keep(room_id, {"mark": mark, "keys": [list(key) for key in wanted]} if wanted else None)
        return not reason

    async def _keep(self, room_id: str, what: Mapping[str, Any] | None) -> None:
        done = self._read()
        done.pop(room_id, None)
        if what is not None:
            done[room_id] = what
        for known in (done, self._tried):
            while len(known) > MOST_ROOMS:
                known.pop(next(iter(known)))
        await asyncio.to_thread(keep, self._file, json.dumps(done))

    async def _put_all(self, room_id: str, events: Mapping[tuple[str, str], Mapping[str, Any]]) -> str:
        for (type_, key), content in events.items():
            try:
                if await self._standing(room_id, type_, key) != content:
                    await self._client.put("rooms", room_id, "state", type_, key, body=content)
            except AuthFailed:
                raise
            except BridgeError as error:
                return str(error)
        return ""

    async def _standing(self, room_id: str, type_: str, key: str) -> Mapping[str, Any] | None:
        try:
            return await self._client.get("rooms", room_id, "state", type_, key)
        except AuthFailed:
            raise
        except BridgeError:
            return None

    def _note(self, room_id: str, reason: str) -> None:
        if not reason:
            self.refused.pop(room_id, None)
            return
        self._context.count("matrix_declaration_refused")
        if room_id not in self.refused:
            log.info("matrix_declaration_refused", bridge=self._context.name, room=room_id, reason=reason)
        self.refused[room_id] = reason
        while len(self.refused) > MOST_ROOMS:
            self.refused.pop(next(iter(self.refused)))

    def _read(self) -> dict[str, Any]:
        if self._done is None:
            self._done = dict(read_kept(self._file))
        return self._done


def _keys(kept: object) -> list[tuple[str, str]]:
    pairs = kept if isinstance(kept, list) else []
    return [(pair[0], pair[1]) for pair in pairs if isinstance(pair, list) and list(map(type, pair)) == [str, str]]
