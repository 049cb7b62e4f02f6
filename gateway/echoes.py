# SPDX-License-Identifier: GPL-3.0-or-later
"""At the door: what a box of ours said on a network, and another bridge or box hears there, is no news.

It is taken for what it is a copy of: then it is seen, what still waits to go there is cancelled, and replies to it
find what they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from gateway.journal import Change, Journal
from gateway.model import Address, BridgeName, Clock, Message, MessageId, NativeId, State, delivery_id, message_id
from gateway.speaking import Speaking

LOOK_EVERY_S = 0.05
ORIGINAL_WITHIN_S = 2.0
"""An echo waits so long for the message itself to come over the LAN; then it stands for it."""
HOPELESS_S = 60.0
"""So long nothing is waited for again where what was waited for never came: no box slows another down for good."""
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
        self._hopeless_until: dict[Address, float] = {}
        self._unheard_until: dict[str, float] = {}

    async def recognise(self, message: Message) -> Message:
        """Return a message under the native id of what it is a copy of, or as it is. Raises JournalError.

        Where another box is saying something whose id only the network gives, it waits a turn at most for that id.
        """
        chorus = self._speaking.chorus
        if chorus is None:
            return message
        await self._hear_out(message)
        if (delivery := self._speaking.copied(message)) is not None:
            self._count(message.origin.bridge, COUNT_ECHO)
            return await self._known_as(message, delivery.message.native_id, delivery.part)
        said = chorus.echoed(message.native_id)
        if said is not None:
            self._count(message.origin.bridge, COUNT_ECHO)
            return await self._known_as(message, said.native_id, said.part)
        return await self._heard_first(message, chorus.called(message.native_id))

    async def _hear_out(self, message: Message) -> None:
        chorus, where = self._speaking.chorus, self._speaking.where(message.origin)
        if chorus is None or where is None:
            return
        now_s = self._clock.monotonic()
        if now_s < self._unheard_until.get(where, now_s):
            return
        until_s = now_s + self._speaking.turn_s(message.origin.bridge)
        while chorus.echoed(message.native_id) is None and chorus.is_speaking(where):
            if self._clock.monotonic() >= until_s:
                self._unheard_until[where] = self._clock.monotonic() + HOPELESS_S
                return
            await self._clock.sleep(LOOK_EVERY_S)

    async def _known_as(self, message: Message, native_id: NativeId, part: int) -> Message:
        """Note which delivery it is a copy of, if this box has one; else it is a copy of the whole message."""
        await self._await_original(message_id(native_id), message.origin)
        copied = delivery_id(message_id(native_id), message.origin, part)
        if copied not in await self._journal.standings([copied]):
            return replace(message, native_id=native_id)
        now_ms = self._clock.now_ms()
        self._journal.note([Change(id=copied, state=State.CANCELLED, at_ms=now_ms, only_from=_NEVER, also=message.id)])
        return message

    async def _await_original(self, original: MessageId, at: Address) -> None:
        """Wait a while for what it is a copy of: the network was faster than the boxes, which say who spoke.

        Where that never came, because no route here carries it, the next ones aren't waited for.
        """
        now_s = self._clock.monotonic()
        if now_s < self._hopeless_until.get(at, now_s):
            return
        while await self._journal.message(original) is None:
            if self._clock.monotonic() >= now_s + ORIGINAL_WITHIN_S:
                self._hopeless_until[at] = self._clock.monotonic() + HOPELESS_S
                return
            await self._clock.sleep(LOOK_EVERY_S)
        self._hopeless_until.pop(at, None)

    async def _heard_first(self, message: Message, called: Collection[NativeId]) -> Message:
        """Return it as what it was heard as while boxes were apart, if it was."""
        for native_id in called:
            if await self._journal.message(message_id(native_id)) is not None:
                self._count(message.origin.bridge, COUNT_HEARD_FIRST)
                return replace(message, native_id=native_id)
        return message
