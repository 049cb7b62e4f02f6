# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of rooms: those others gave us open events, our own closes them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import vodozemac
from nio.crypto import InboundGroupSession, Olm, OutboundGroupSession
from nio.exceptions import EncryptionError

from bridges.matrix.crypto.database import Written
from bridges.matrix.crypto.errors import Bogus, KeyExpired, Shut
from bridges.matrix.plain import valid_id
from bridges.matrix.wire import mapping, read_json, text

MAX_INDEXES = 20_000
"""Messages of which it is remembered under which event id they came."""

Device = tuple[str, str]
"""A user id and a device id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What was in an encrypted event."""

    type: str
    content: Mapping[str, Any] = field(repr=False)


_SCHEMA = """
CREATE TABLE IF NOT EXISTS crossband_seen (
  number INTEGER PRIMARY KEY, session TEXT NOT NULL, message INTEGER NOT NULL, event TEXT NOT NULL
) STRICT
"""
_NEWEST = "SELECT session, message, event FROM crossband_seen ORDER BY number DESC LIMIT ?"
_PRUNE = "DELETE FROM crossband_seen WHERE number <= (SELECT max(number) FROM crossband_seen) - ?"


class RoomKeys:
    """One device's keys of rooms. Nothing here awaits, so each call is one step."""

    def __init__(self, olm: Olm) -> None:
        self._olm = olm
        self._database = olm.store.database
        self._seen: OrderedDict[tuple[str, int], str] = OrderedDict()
        self._not_kept: list[tuple[str, int, str]] = []
        with Written(olm):
            self._database.execute_sql(_SCHEMA)
            rows = self._database.execute_sql(_NEWEST, (MAX_INDEXES,)).fetchall()
        self._seen.update({(session, index): event_id for session, index, event_id in reversed(rows)})

    def shared_with(self, room_id: str) -> set[Device] | None:
        """Return which devices have the key that is used in the room now; None where a new one is needed."""
        session = self._outbound(room_id)
        return None if session is None or session.expired else set(session.users_shared_with)

    def rotate(self, room_id: str, *, max_age: timedelta, max_messages: int) -> None:
        """Use a new key in the room, which nobody has yet."""
        with Written(self._olm):
            self._olm.create_outbound_group_session(room_id)
        session = self._olm.outbound_group_sessions[room_id]
        session.max_age, session.max_messages = max_age, max_messages
        session.mark_as_shared()

    def shares(self, room_id: str, users: Sequence[str]) -> Iterator[tuple[set[Device], Mapping[str, Any]]]:
        """Yield to-device bodies that give the key, from here on, to devices that don't have it, and to whom."""
        session = self._olm.outbound_group_sessions[room_id]
        session.shared = False  # nio would begin a new one for newcomers
        try:
            with Written(self._olm):
                made = list(
                    self._olm.share_group_session_parallel(room_id, list(users), ignore_unverified_devices=True)
                )
        finally:
            session.mark_as_shared()
        yield from made

    def note_shared(self, room_id: str, session_id: str, devices: set[Device]) -> None:
        """Note that these have the key, if it is still the one in use."""
        session = self._outbound(room_id)
        if session is not None and session.id == session_id:
            session.users_shared_with.update(devices)

    def session_id(self, room_id: str) -> str:
        """Return which key is used in the room; empty if none is."""
        session = self._outbound(room_id)
        return "" if session is None else str(session.id)

    def encrypt(self, room_id: str, type_: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content of the ``m.room.encrypted`` event, relations in clear as the specification has it.

        Its key is never used for another message, nor after a restart: nothing of it is kept.
        """
        try:
            sealed: dict[str, Any] = self._olm.group_encrypt(room_id, {"type": type_, "content": dict(content)})
        except EncryptionError as error:
            raise KeyExpired from error
        relation = content.get("m.relates_to")
        return sealed if relation is None else sealed | {"m.relates_to": relation}

    def decrypt(self, event: Mapping[str, Any], room_id: str) -> Opened:
        """Return what is in the event. Raises Shut where a key or a device isn't known, and Bogus."""
        sealed = mapping(event.get("content"))
        session_id, sender = text(sealed.get("session_id")), text(event.get("sender"))
        sessions = self._inbound(room_id, session_id)
        if not sessions:
            raise Shut("its key hasn't come")
        session = next((one for one in sessions if self._is_of(one, sender)), None)
        if session is None:
            raise Shut("the sender's device isn't known", unknown_device=True)
        try:
            plaintext, index = session.decrypt(text(sealed.get("ciphertext")))
        except (vodozemac.MegolmDecryptionException, vodozemac.DecodeException, ValueError) as error:
            raise Shut("the key that came doesn't open it") from error
        return self._checked(plaintext, index, event, room_id)

    def _checked(self, plaintext: str, index: int, event: Mapping[str, Any], room_id: str) -> Opened:
        sealed = mapping(event.get("content"))
        if self._is_replayed((text(sealed.get("session_id")), index), text(event.get("event_id"))):
            raise Bogus("replayed")
        try:
            payload = mapping(read_json(plaintext.encode()))
        except (ValueError, RecursionError) as error:
            raise Bogus("no JSON") from error
        if payload.get("room_id") != room_id:
            raise Bogus("from another room")
        if payload.get("type") == "m.room.redaction":  # who may is for the homeserver to say, and it saw none
            raise Bogus("a redaction")
        content = dict(mapping(payload.get("content")))
        if "m.relates_to" in sealed:
            content.setdefault("m.relates_to", sealed["m.relates_to"])
        return Opened(type=text(payload.get("type")), content=content)

    def _is_of(self, session: InboundGroupSession, user_id: str) -> bool:
        """Whether the key was made by a device of this user: a homeserver may name anyone as the sender."""
        devices = self._olm.device_store[user_id].values() if valid_id(user_id, "@") else ()
        return any(device.curve25519 == session.sender_key and device.ed25519 == session.ed25519 for device in devices)

    def keep_seen(self) -> None:
        """Remember over a restart as which events messages came: whoever runs the homeserver could give them again."""
        if self._not_kept:
            with Written(self._olm):
                insert = "INSERT INTO crossband_seen (session, message, event) VALUES (?, ?, ?)"
                for row in self._not_kept:
                    self._database.execute_sql(insert, row)
                self._database.execute_sql(_PRUNE, (MAX_INDEXES,))
            self._not_kept.clear()

    def _is_replayed(self, index: tuple[str, int], event_id: str) -> bool:
        before = self._seen.get(index)
        if before is None:
            before = self._seen[index] = event_id
            self._not_kept.append((*index, event_id))
        if len(self._seen) > MAX_INDEXES:
            self._seen.popitem(last=False)
        return before != event_id

    def _inbound(self, room_id: str, session_id: str) -> list[InboundGroupSession]:
        # By the session's id alone: what the event says of its sender's key is not to be trusted.
        senders = self._olm.inbound_group_store[room_id].values()
        return [sessions[session_id] for sessions in senders if session_id in sessions]

    def _outbound(self, room_id: str) -> OutboundGroupSession | None:
        return self._olm.outbound_group_sessions.get(room_id)
