# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages: what was said, what became of it, and saying something oneself."""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Query

from gateway.api.deps import After, Before, Limit, View, known_address, known_route
from gateway.api.gateway import GatewayView
from gateway.api.records import message_out
from gateway.api.schemas import MessageOut, MessagePage, Post, PostedOut
from gateway.journal import MessageRecord, Messages, Seen
from gateway.journal.overview import LAST
from gateway.model import (
    API_ADDRESS,
    Address,
    Message,
    MessageId,
    NativeId,
    RemoteId,
    Sender,
    SenderId,
    State,
    Text,
    message_id,
    words_of,
)
from gateway.routing import Route
from gateway.status import keeps_of

router = APIRouter(prefix="/api/v1/messages", tags=["messages"])

Age = Annotated[int | None, Query(ge=0, le=10**9, description="Seconds since it was received")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key again sends nothing again, for at least 24 hours",
    ),
]


@router.get("")
async def messages(
    view: View,
    *,
    address: str | None = None,
    state: State | None = None,
    older_than_s: Age = None,
    newer_than_s: Age = None,
    after: After = None,
    before: Before = None,
    limit: Limit = 100,
) -> MessagePage:
    """Return messages in the order they were accepted; without `after`, the newest, or the newest of `before`.

    `address`: that came from there or went there; `state`: with a delivery in it. A page may be short, or
    empty, and yet not the last: go by `next_after` and `next_before`.
    """
    now_ms = view.clock.now_ms()
    which = Messages(
        address=None if address is None else known_address(view, address),
        state=state,
        since_ms=None if newer_than_s is None else now_ms - newer_than_s * 1000,
        until_ms=None if older_than_s is None else now_ms - older_than_s * 1000,
    )
    found = await view.journal.overview.messages(which, after=after, before=before or LAST, limit=limit)
    last = found.messages[-1].seq if found.messages else None
    keeps = keeps_of(view.bridges(), view.queue_state())
    return MessagePage(
        messages=[message_out(one, keeps) for one in found.messages],
        next_after=found.following or last if after is not None else last,
        next_before=found.following if after is None else None,
    )


@router.get("/{id}")
async def message(id: str, view: View) -> MessageOut:
    """Return one message: its deliveries with every change of state."""
    found = await view.journal.message(MessageId(id))
    if found is None:
        raise HTTPException(404, f"there is no message {id!r}, or no more")
    return message_out(found, keeps_of(view.bridges(), view.queue_state()))


@router.post("", status_code=202)
async def post(posted: Post, view: View, key: IdempotencyKey = None) -> PostedOut:
    """Send a text. The answer means that it is on this box's disk; `GET` it for what became of it."""
    if (posted.to is None) == (posted.route is None):
        raise HTTPException(422, "name either `to` (one address) or `route`")
    only = None if posted.to is None else known_address(view, posted.to)
    route = None if posted.route is None else known_route(view, posted.route, missing=422)
    if not posted.text.strip():
        raise HTTPException(422, "text: there are no words in it")
    await _check_answered(view, posted.reply_to)
    said = _message(posted, view, key or secrets.token_hex(16))
    result = await view.submit(said, only=only, route=posted.route)
    kept = await view.journal.message(said.id)
    seen = isinstance(result, Seen)
    if seen and kept is not None:
        _refuse_another(kept, said, _wanted(only, route))
    deliveries = [] if kept is None else [str(one.id) for one in kept.deliveries]
    return PostedOut(id=said.id, seq=result.seq, seen=seen, deliveries=deliveries)


async def _check_answered(view: GatewayView, reply_to: str | None) -> None:
    if reply_to is not None and await view.journal.message(MessageId(reply_to)) is None:
        raise HTTPException(422, f"reply_to: there is no message {reply_to!r}, or no more")


def _message(posted: Post, view: GatewayView, key: str) -> Message:
    name = posted.name or view.settings.gateway.name
    native = NativeId(f"api:{key}")
    return Message(
        native_id=native,
        origin=API_ADDRESS,
        sender=Sender(id=SenderId(f"api:{name}"), name=name),
        content=Text(body=posted.text),
        received_ms=view.clock.now_ms(),
        remote_id=RemoteId(message_id(native)),
        reply_to=None if posted.reply_to is None else RemoteId(posted.reply_to),
    )


def _wanted(only: Address | None, route: Route | None) -> frozenset[Address]:
    if only is not None:
        return frozenset({only})
    return frozenset() if route is None else frozenset({*route.sources, *route.targets}) - {API_ADDRESS}


def _refuse_another(kept: MessageRecord, said: Message, wanted: frozenset[Address]) -> None:
    """Raise a 409 unless this is what the key was used for: whoever gets a 202 believes that it was sent."""
    differs = {
        "text": words_of(kept.message.content) != words_of(said.content),
        "name": kept.message.sender.id != said.sender.id,
        "reply_to": kept.message.reply_to != said.reply_to,
        "address": frozenset(one.to for one in kept.deliveries) != wanted,
    }
    others = " and ".join(what for what, other in differs.items() if other)
    if others:
        raise HTTPException(409, f"this Idempotency-Key was used with another {others}; nothing was sent now")
