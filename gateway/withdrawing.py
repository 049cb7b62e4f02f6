# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes back what this box said in a room in the very moment in which another did: people are left with one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from gateway.doubles import Double
from gateway.journal import Change, Journal
from gateway.model import (
    Address,
    Bridge,
    BridgeError,
    BridgeName,
    Clock,
    JournalError,
    Message,
    NativeId,
    Redaction,
    Rejected,
    State,
    delivery_id,
    key_of,
    message_id,
)
from gateway.speaking import Speaking, deliveries_of

log = structlog.get_logger()

LOOK_EVERY_S = 1.0
COUNT_WITHDRAWN = "said_twice_withdrawn"
COUNT_LEFT = "said_twice_left"
REASON = "already there: a box out of reach said it at that moment, too; ours was taken back"


class Withdrawing:
    """Looks every second whether something is to be taken back; best effort: a restart may forget one."""

    def __init__(
        self,
        speaking: Speaking,
        journal: Journal,
        bridges: Mapping[BridgeName, Bridge],
        clock: Clock,
        *,
        count: Callable[[BridgeName, str], None] = lambda _, __: None,
    ) -> None:
        self._doubles = speaking.doubles
        self._journal = journal
        self._bridges = bridges
        self._clock = clock
        self._count = count

    async def run(self) -> None:
        """Take back what is found, for ever."""
        while True:
            await self.withdraw()
            await self._clock.sleep(LOOK_EVERY_S)

    async def withdraw(self) -> None:
        """Take back what can be now; the rest is tried again."""
        away: set[BridgeName] = set()
        for where, double in list(self._doubles.owed.items()):
            if double.at.bridge in away:
                continue
            try:
                if await self._withdraw(double):
                    self._doubles.owed.pop(where, None)
            except Rejected as error:
                self._doubles.owed.pop(where, None)
                self._count(double.at.bridge, COUNT_LEFT)
                log.warning(COUNT_LEFT, bridge=double.at.bridge, delivery=double.delivery, reason=str(error))
            except (BridgeError, JournalError) as error:
                away.add(double.at.bridge)
                log.info("said_twice_waits", bridge=double.at.bridge, delivery=double.delivery, reason=str(error))

    async def _withdraw(self, double: Double) -> bool:
        """Take one back; False: it is still to be noted that it was said."""
        standing = (await self._journal.standings([double.delivery])).get(double.delivery)
        if standing is not None and standing.state.is_pending:
            return False
        found = await deliveries_of(self._journal, [double.delivery])
        if not found or isinstance(found[0].message.content, Redaction):
            return True
        redaction = _redaction(found[0].message, double)
        await self._bridges[double.at.bridge].send(redaction, double.at, key=_key(redaction, double.at))
        now_ms = self._clock.now_ms()
        change = Change(id=double.delivery, state=State.CANCELLED, reason=REASON, at_ms=now_ms, remote_id=double.theirs)
        self._journal.note([change])
        self._count(double.at.bridge, COUNT_WITHDRAWN)
        return True


def _redaction(message: Message, double: Double) -> Message:
    """Return what takes it back, by whoever said it: through a ghost where one did."""
    native_id = NativeId(f"twice:{double.ours}")
    return replace(message, native_id=native_id, content=Redaction(target=double.ours), reply_to=None, remote_id=None)


def _key(message: Message, to: Address) -> str:
    return key_of(delivery_id(message_id(message.native_id), to, 1), 0)
