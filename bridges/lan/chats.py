# SPDX-License-Identifier: GPL-3.0-or-later
"""Chats of people at pages with radio nodes, as this box has joined them: when one ends, and which makes room."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from bridges.lan.diary import Diary, readable
from bridges.lan.places import other_in, person_in
from gateway.model import Address, BridgeContext, Declined

DAY_MS: Final = 86_400_000
SILENT_MS: Final = 30 * DAY_MS
"""Then it ends: as long as a nickname is kept, for whoever has it next shall be told nothing that is for another."""
SPARED_MS: Final = DAY_MS
"""One in which somebody wrote since makes room for none."""

log = structlog.get_logger()


class Chats:
    """One box's."""

    def __init__(self, context: BridgeContext, diary: Diary, names: Callable[[], Sequence[str]]) -> None:
        """`names`: those that are joined."""
        self._context = context
        self._diary = diary
        self._names = names

    async def end_silent(self) -> None:
        """End those in which whoever is at the page wrote nothing for long."""
        now_ms = self._context.clock.now_ms()
        wrote_ms = self._wrote_ms(self._names())
        for chat in [chat for chat, at_ms in wrote_ms.items() if at_ms < now_ms - SILENT_MS]:
            await self._end(chat, "lan_chat_ended")

    async def make_room(self, for_one: str) -> bool:
        """End the longest silent chat of the same person, or with the same node; False: each is in use."""
        rivals = [one for one in self._names() if one != for_one and _are_rivals(one, for_one)]
        wrote_ms, before_ms = self._wrote_ms(rivals), self._context.clock.now_ms() - SPARED_MS
        silent = min((one for one in wrote_ms if wrote_ms[one] < before_ms), key=wrote_ms.__getitem__, default=None)
        return silent is not None and await self._end(silent, "lan_chat_made_room")

    def _wrote_ms(self, chats: Sequence[str]) -> Mapping[str, int]:
        """Return when somebody wrote in each last; of what the log has no line, when it was joined."""
        rooms = self._diary.rooms
        if rooms is None:
            return {}
        with readable():
            return {
                one: max(rooms.wrote_ms(one), at_ms) for one in chats if (at_ms := self._joined_ms(one)) is not None
            }

    def _joined_ms(self, chat: str) -> int | None:
        """Return when it was joined; None: by the file, whose routes stay."""
        found = [one.at_ms for one in self._context.desk.joined(Address(self._context.name, chat))]
        return max((at_ms for at_ms in found if at_ms is not None), default=None)

    async def _end(self, chat: str, counter: str) -> bool:
        try:
            gone = await self._context.desk.part(Address(self._context.name, chat))
        except Declined as declined:
            log.warning("lan_chat_not_ended", reason=str(declined))
            return False
        if gone:
            self._context.count(counter)
            log.info(counter, routes=[one.route for one in gone])
        return bool(gone)


def _are_rivals(one: str, other: str) -> bool:
    return person_in(one) == person_in(other) or other_in(one) == other_in(other)
