# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages: what was said, what became of it, and saying something oneself."""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException

from gateway.api.deps import After, Limit, View, known_address, known_route
from gateway.api.gateway import GatewayView
from gateway.api.records import message_out, words_of
from gateway.api.schemas import MessageOut, MessagePage, Post, PostedOut
from gateway.journal import Seen
from gateway.model import API_ADDRESS, Message, MessageId, NativeId, RemoteId, Sender, SenderId, Text, message_id

router = APIRouter(prefix="/api/v1/messages", tags=["messages"])

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
async def messages(view: View, after: After = None, address: str | None = None, limit: Limit = 100) -> MessagePage:
    """Return messages in the order they were accepted; without `after`, the newest."""
    at = None if address is None else known_address(view, address)
    found = await view.journal.messages(after=after or 0, address=at, limit=limit, latest=after is None)
    next_after = found[-1].seq if found else None
    return MessagePage(messages=[message_out(one) for one in found], next_after=next_after)


@router.get("/{id}")
async def message(id: str, view: View) -> MessageOut:
    """Return one message: its deliveries with every change of state."""
    found = await view.journal.message(MessageId(id))
    if found is None:
        raise HTTPException(404, f"there is no message {id!r}, or no more")
    return message_out(found)


@router.post("", status_code=202)
async def post(posted: Post, view: View, key: IdempotencyKey = None) -> PostedOut:
    """Send a text. The answer means that it is on this box's disk; `GET` it for what became of it."""
    if (posted.to is None) == (posted.route is None):
        raise HTTPException(422, "name either `to` (one address) or `route`")
    only = None if posted.to is None else known_address(view, posted.to)
    if posted.route is not None:
        known_route(view, posted.route, missing=422)
    if not posted.text.strip():
        raise HTTPException(422, "text: there are no words in it")
    await _check_answered(view, posted.reply_to)
    said = _message(posted, view, key or secrets.token_hex(16))
    result = await view.submit(said, only=only, route=posted.route)
    return await _posted(view, said, seen=isinstance(result, Seen), seq=result.seq)


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


async def _posted(view: GatewayView, said: Message, *, seen: bool, seq: int) -> PostedOut:
    kept = await view.journal.message(said.id)
    if seen and kept is not None and words_of(kept.message.content) != words_of(said.content):
        raise HTTPException(409, "this Idempotency-Key was used for another text; nothing was sent")
    deliveries = [] if kept is None else [str(one.id) for one in kept.deliveries]
    return PostedOut(id=said.id, seq=seq, seen=seen, deliveries=deliveries)
