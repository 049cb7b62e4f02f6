# SPDX-License-Identifier: GPL-3.0-or-later
"""At the door: what a box of ours said on a network, and another bridge or box hears there, is no news.

It is taken for what it is a copy of: then it is seen, what still waits to go there is cancelled, and replies to it
find what they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from gateway.journal import Change, Journal
from gateway.model import BridgeName, Clock, Message, NativeId, State, delivery_id, message_id
from gateway.speaking import Speaking

LOOK_EVERY_S = 0.05
COUNT_ECHO = "echo_of_another_box"
COUNT_HEARD_FIRST = "heard_before_told"
_NEVER: frozenset[State] = frozenset()


class Echoes:
    """Recognises them."""

    def __init__(
        self,
        speaking: Speaking,
        journal: Journal,
        clock: Clock,
        *,
        count: Callable[[BridgeName, str], None] = lambda _, __: None,
    ) -> None:
        self._speaking = speaking
        self._journal = journal
        self._clock = clock
        self._count = count

    async def recognise(self, message: Message) -> Message:
        """Return a message under the native id of what it is a copy of, or as it is. Raises JournalError.

        Where another box is saying something whose id only the network gives, it waits a turn at most for that id.
        """
        chorus = self._speaking.chorus
        if chorus is None:
            return message
        await self._hear_out(message)
        said = chorus.echoed(message.native_id)
        if said is not None:
            self._count(message.origin.bridge, COUNT_ECHO)
            return await self._known_as(message, said.native_id, said.part)
        return await self._heard_first(message, chorus.called(message.native_id))

    async def _hear_out(self, message: Message) -> None:
        chorus, where = self._speaking.chorus, self._speaking.where(message.origin)
        if chorus is None or where is None:
            return
        until_s = self._clock.monotonic() + self._speaking.turn_s(message.origin.bridge)
        while (
            chorus.echoed(message.native_id) is None and chorus.is_speaking(where) and self._clock.monotonic() < until_s
        ):
            await self._clock.sleep(LOOK_EVERY_S)

    async def _known_as(self, message: Message, native_id: NativeId, part: int) -> Message:
        """Note which delivery it is a copy of, if this box has one; else it is a copy of the whole message."""
        copied = delivery_id(message_id(native_id), message.origin, part)
        if copied not in await self._journal.standings([copied]):
            return replace(message, native_id=native_id)
        now_ms = self._clock.now_ms()
        self._journal.note([Change(id=copied, state=State.CANCELLED, at_ms=now_ms, only_from=_NEVER, also=message.id)])
        return message

    async def _heard_first(self, message: Message, called: Collection[NativeId]) -> Message:
        """Return it as what it was heard as while boxes were apart, if it was."""
        for native_id in called:
            if await self._journal.message(message_id(native_id)) is not None:
                self._count(message.origin.bridge, COUNT_HEARD_FIRST)
                return replace(message, native_id=native_id)
        return message
