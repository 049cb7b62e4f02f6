# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the homeserver's stream of events: long polls, and what a long poll left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import structlog

from bridges.matrix.client import Client, Refused
from bridges.matrix.plain import valid_id
from bridges.matrix.wire import mapping, sequence, text
from gateway.model import LinkDown

log = structlog.get_logger()

POLL_S = 20
ANSWER_WITHIN_S = POLL_S + 15.0
PAGE = 100
"""Synapse gives no more per request (``filter_timeline_limit``)."""
MAX_CATCHUP = 500
"""Events of one room that are fetched after an outage besides those the sync holds."""

_MEMBERS = {"lazy_load_members": True, "include_redundant_members": True}  # redundant: we may have restarted
_STATE = ["m.room.member", "m.room.encryption"]
_NONE: dict[str, Any] = {"types": []}
FILTER = json.dumps(
    {
        "presence": _NONE,
        "account_data": _NONE,
        "room": {
            "timeline": {"limit": PAGE, **_MEMBERS},
            "state": {"types": _STATE, **_MEMBERS},
            "ephemeral": _NONE,
            "account_data": _NONE,
        },
    }
)
_PAGE_FILTER = json.dumps(_MEMBERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomNews:
    """What one sync says of a room we are in."""

    room_id: str
    state: Sequence[Any] = field(default=(), repr=False)
    events: Sequence[Any] = field(default=(), repr=False)
    prev_batch: str = ""
    """Where what was left out ends; empty if nothing was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """Somebody asks us into a room; `inviter` is None where the event doesn't say."""

    room_id: str
    inviter: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One sync, read."""

    next_batch: str
    rooms: tuple[RoomNews, ...] = ()
    invites: tuple[Invite, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing happened."""
        return not (self.rooms or self.invites or self.left)


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
        rooms=tuple(_news(room_id, room) for room_id, room in _known_rooms(rooms.get("join"))),
        invites=tuple(
            Invite(room_id=room_id, inviter=_inviter(room, user_id))
            for room_id, room in _known_rooms(rooms.get("invite"))
        ),
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


async def fill_gap(client: Client, news: RoomNews, since: str, count: Callable[[str], None]) -> RoomNews:
    """Return the news with what the server left out put in front: in order, each event once.

    Stops at our own joining, and after `MAX_CATCHUP` events of others, which is counted and logged.
    """
    events, joined_within = since_join(news.events, client.user_id)
    state = list(news.state)
    missed: list[Any] = []  # newest first
    token = "" if joined_within else news.prev_batch
    while token:
        if len(missed) >= MAX_CATCHUP:
            count("matrix_catchup_cut")
            log.warning("matrix_catchup_cut", room=news.room_id, fetched=len(missed))
            break
        page = await _page(client, news.room_id, token, since)
        chunk = sequence(page.get("chunk"))
        state += sequence(page.get("state"))
        after_join, joined_within = since_join(chunk[::-1], client.user_id)
        missed += (event for event in after_join[::-1] if mapping(event).get("sender") != client.user_id)
        token = text(page.get("end")) if chunk and not joined_within else ""
    return RoomNews(room_id=news.room_id, state=state, events=tuple(_once(missed[:MAX_CATCHUP][::-1], events)))


async def _page(client: Client, room_id: str, token: str, since: str) -> Mapping[str, Any]:
    query: dict[str, str | int] = {"from": token, "to": since, "dir": "b", "limit": PAGE, "filter": _PAGE_FILTER}
    try:
        return await client.get("rooms", room_id, "messages", query=query)
    except Refused as refused:  # we were put out of the room meanwhile: there is no more to get
        log.warning("matrix_gap_refused", room=room_id, reason=str(refused))
        return {}


def _once(*parts: Sequence[Any]) -> Iterator[Any]:
    seen: set[str] = set()
    for part in parts:
        for event in part:
            event_id = valid_id(mapping(event).get("event_id"), "$")
            if event_id is None or event_id not in seen:
                yield event
            seen.add(event_id or "")


def _known_rooms(section: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for room_id, room in mapping(section).items():
        if valid_id(room_id, "!") is not None:
            yield room_id, mapping(room)


def _news(room_id: str, room: Mapping[str, Any]) -> RoomNews:
    timeline = mapping(room.get("timeline"))
    return RoomNews(
        room_id=room_id,
        state=sequence(mapping(room.get("state")).get("events")),
        events=sequence(timeline.get("events")),
        prev_batch=text(timeline.get("prev_batch")) if timeline.get("limited") is True else "",
    )


def _inviter(room: Mapping[str, Any], user_id: str) -> str | None:
    for event in map(mapping, sequence(mapping(room.get("invite_state")).get("events"))):
        if event.get("type") == "m.room.member" and event.get("state_key") == user_id:
            return valid_id(event.get("sender"), "@")
    return None


def _is_joining(event: Mapping[str, Any], user_id: str) -> bool:
    if event.get("type") != "m.room.member" or event.get("state_key") != user_id:
        return False
    before = mapping(mapping(event.get("unsigned")).get("prev_content")).get("membership")
    return mapping(event.get("content")).get("membership") == "join" and before != "join"
