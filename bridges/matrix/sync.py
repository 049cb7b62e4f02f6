# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the homeserver's stream of events by long polls."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from bridges.matrix.client import Client, Refused
from bridges.matrix.plain import valid_id
from bridges.matrix.wire import mapping, sequence, text
from gateway.model import LinkDown

POLL_S = 20
ANSWER_WITHIN_S = POLL_S + 15.0
PAGE = 100
"""Synapse gives no more per request (``filter_timeline_limit``)."""

MEMBERS = {"lazy_load_members": True, "include_redundant_members": True}  # redundant: we may have restarted
_STATE = ["m.room.member", "m.room.encryption", "m.room.tombstone"]
_NONE: dict[str, Any] = {"types": []}
FILTER = json.dumps(
    {
        "presence": _NONE,
        "account_data": _NONE,
        "room": {
            "timeline": {"limit": PAGE, **MEMBERS},
            "state": {"types": _STATE, **MEMBERS},
            "ephemeral": _NONE,
            "account_data": _NONE,
        },
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomNews:
    """What one sync says of a room we are in."""

    room_id: str
    state: Sequence[Any] = field(default=(), repr=False)
    events: Sequence[Any] = field(default=(), repr=False)
    prev_batch: str = ""
    """Where what was left out ends; empty if nothing was."""
    members: int | None = None
    """How many are in the room or invited, where that changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """Somebody asks us into a room; `inviter` is None where the event doesn't say."""

    room_id: str
    inviter: str | None
    is_direct: bool = False
    """Into a direct chat with us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyNews:
    """What one sync says to our device, and of others': end-to-end encryption goes by it."""

    to_device: Sequence[Any] = field(default=(), repr=False)
    changed: tuple[str, ...] = ()
    """Users whose devices are others now."""
    left: tuple[str, ...] = ()
    """Users we share no encrypted room with any more."""
    one_time_keys: int | None = None
    """How many of ours the homeserver has left; None: it didn't say."""
    has_fallback_key: bool = True
    """Whether the one for when those are used up is there, unused; True too where the homeserver knows none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One sync, read."""

    next_batch: str
    keys: KeyNews = KeyNews()
    rooms: tuple[RoomNews, ...] = ()
    invites: tuple[Invite, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing happened."""
        return not (self.rooms or self.invites or self.left or self.keys.to_device)


class SinceRefused(Exception):
    """The homeserver doesn't know our token: it was reset, or restored from an older backup."""


def read_batch(answer: Mapping[str, Any], user_id: str) -> Batch:
    """Read the answer to a sync, of any shape; LinkDown if it has no token to go on with. Pure."""
    next_batch = text(answer.get("next_batch"))
    if not next_batch:
        raise LinkDown("the homeserver's answer to a sync has no next_batch")
    rooms = mapping(answer.get("rooms"))
    return Batch(
        next_batch=next_batch,
        keys=_key_news(answer),
        rooms=tuple(_news(room_id, room) for room_id, room in _known_rooms(rooms.get("join"))),
        invites=tuple(_invite(room_id, room, user_id) for room_id, room in _known_rooms(rooms.get("invite"))),
        left=tuple(room_id for room_id, _ in _known_rooms(rooms.get("leave"))),
    )


def since_join(events: Sequence[Any], user_id: str) -> tuple[Sequence[Any], bool]:
    """Return the events after our own last joining, and whether it is among them. Pure.

    What was said before we came isn't for others: nobody in the room knew it would be carried on.
    """
    for index in range(len(events) - 1, -1, -1):
        if _is_joining(mapping(events[index]), user_id):
            return events[index + 1 :], True
    return events, False


async def first_sync(client: Client, nonce: int) -> Batch:
    """Return where the stream is now, with invites that wait; what was said before isn't replayed.

    `nonce`: any number of ms the last such call did not have. Synapse gives the same answer to the
    same question for two minutes, and the timeout, which means nothing here, is part of the question.
    """
    query: dict[str, str | int] = {"timeout": nonce, "filter": FILTER}
    return read_batch(await client.get("sync", query=query, timeout_s=ANSWER_WITHIN_S), client.user_id)


async def next_sync(client: Client, since: str) -> Batch:
    """Wait up to `POLL_S` for what is new; SinceRefused if the server doesn't know the token."""
    query: dict[str, str | int] = {"since": since, "timeout": POLL_S * 1000, "filter": FILTER}
    try:
        answer = await client.get("sync", query=query, timeout_s=ANSWER_WITHIN_S)
    except Refused as refused:
        if refused.status == HTTPStatus.BAD_REQUEST:
            raise SinceRefused(str(refused)) from refused
        raise LinkDown(str(refused)) from refused
    return read_batch(answer, client.user_id)


def _known_rooms(section: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for room_id, room in mapping(section).items():
        if valid_id(room_id, "!") is not None:
            yield room_id, mapping(room)


def _key_news(answer: Mapping[str, Any]) -> KeyNews:
    lists, counts = mapping(answer.get("device_lists")), answer.get("device_one_time_keys_count")
    unused = answer.get("device_unused_fallback_key_types")
    left = mapping(counts).get("signed_curve25519", 0)  # what isn't listed is none
    return KeyNews(
        to_device=sequence(mapping(answer.get("to_device")).get("events")),
        changed=_users(lists.get("changed")),
        left=_users(lists.get("left")),
        has_fallback_key=not isinstance(unused, list) or "signed_curve25519" in unused,
        one_time_keys=left if isinstance(counts, dict) and isinstance(left, int) else None,
    )


def _users(listed: object) -> tuple[str, ...]:
    users = (valid_id(user, "@") for user in sequence(listed))
    return tuple(user for user in users if user is not None)


def _news(room_id: str, room: Mapping[str, Any]) -> RoomNews:
    timeline = mapping(room.get("timeline"))
    return RoomNews(
        room_id=room_id,
        state=sequence(mapping(room.get("state")).get("events")),
        events=sequence(timeline.get("events")),
        prev_batch=text(timeline.get("prev_batch")) if timeline.get("limited") is True else "",
        members=_members(mapping(room.get("summary"))),
    )


def _members(summary: Mapping[str, Any]) -> int | None:
    counts = (summary.get("m.joined_member_count"), summary.get("m.invited_member_count", 0))
    return sum(counts) if all(isinstance(count, int) for count in counts) else None


def _invite(room_id: str, room: Mapping[str, Any], user_id: str) -> Invite:
    for event in map(mapping, sequence(mapping(room.get("invite_state")).get("events"))):
        if event.get("type") == "m.room.member" and event.get("state_key") == user_id:
            is_direct = mapping(event.get("content")).get("is_direct") is True
            return Invite(room_id=room_id, inviter=valid_id(event.get("sender"), "@"), is_direct=is_direct)
    return Invite(room_id=room_id, inviter=None)


def _is_joining(event: Mapping[str, Any], user_id: str) -> bool:
    if event.get("type") != "m.room.member" or event.get("state_key") != user_id:
        return False
    before = mapping(mapping(event.get("unsigned")).get("prev_content")).get("membership")
    return mapping(event.get("content")).get("membership") == "join" and before != "join"
