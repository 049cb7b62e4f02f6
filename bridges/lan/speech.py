# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody at the page says somewhere, as a message of the core."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bridges.lan.entries import PAGE
from bridges.lan.hall import Person
from gateway.model import Address, BridgeContext, Content, Lane, Level, Message, NativeId, RemoteId, Sender

DRAFT = NativeId(f"{PAGE}draft")
"""The native id of what isn't said yet: only what it would take is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """Who says what, and where."""

    person: Person
    room: str
    content: Content = field(repr=False)
    reply_to: NativeId | None = None

    def message(self, context: BridgeContext, native: NativeId = DRAFT) -> Message:
        """Return it under this native id, received now."""
        more: dict[str, Any] = {} if self.reply_to is None else {"reply_to": RemoteId(self.reply_to)}
        return Message(
            native_id=native,
            origin=Address(context.name, self.room),
            sender=Sender(id=self.person.id, name=self.person.nick),
            content=self.content,
            received_ms=context.clock.now_ms(),
            remote_id=RemoteId(native),
            lane=Lane.NORMAL if context.level_of(self.person.id) >= Level.COMMANDS else Lane.GUEST,
            **more,
        )
