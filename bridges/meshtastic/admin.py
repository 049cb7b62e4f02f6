# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes the settings of our own node, and of no other, and reads them back.

Nothing here says a word until `adjust` is called. Several sections are written as one transaction, so that the node
restarts once, and a change that breaks off in the middle is not saved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from meshtastic.protobuf.admin_pb2 import AdminMessage

from bridges.meshtastic.alterations import Change, alterations, read
from bridges.meshtastic.attempt import within
from bridges.meshtastic.cautions import CLOCK_OFF_S
from bridges.meshtastic.orders import ANSWER_WITHIN_S, BACK_WITHIN_S, TRIES, Orders
from bridges.meshtastic.sections import Draft, Part, Section, message, question
from bridges.meshtastic.station import Station
from gateway.model import Alteration, Clock, Declined, LinkDown, Unconfirmed

EMPTY_WITHIN_S = 60.0
RESTART_WITHIN_S = 15.0
"""Firmware restarts 7 s after it saved; some sections, in some versions, without a restart."""


class Administrator:
    """Kept across connections: a radio that saves its settings restarts."""

    def __init__(
        self,
        *,
        orders: Orders,
        station: Station,
        clock: Clock,
        hold: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        """`hold`: keeps texts from the radio meanwhile."""
        self._orders = orders
        self._station = station
        self._clock = clock
        self._hold = hold
        self._turn = asyncio.Lock()

    async def adjust(self, wanted: Mapping[str, str]) -> Sequence[Alteration]:
        """Write what is not so already, wait for the restart, and read it back."""
        if self._turn.locked():
            raise Declined("settings of this radio are being changed right now")
        async with self._turn:
            changes = read(wanted, self._clock.now_ms())
            if self._station.profile.security.managed:
                raise Declined("the radio is managed: it takes settings from its admins on the air only")
            await self._ask({change.part for change in changes.values()})
            found = alterations(self._station.profile, changes)
            altered = {each.key: changes[each.key] for each in found}
            saved = {key: change for key, change in altered.items() if change.part.section is not Section.TIME}
            if saved:
                async with self._hold():
                    await self._empty()
                    await self._save(changes, saved)
            # Last, for a restart may take the time away again.
            if len(saved) < len(altered):
                await self._set_time()
            return found

    async def _ask(self, parts: set[Part], *, within_s: float = TRIES * ANSWER_WITHIN_S) -> None:
        for part in sorted(parts, key=_order):
            await self._orders.exchange(question(part), part, within_s=within_s)
        self._station.settle()

    async def _save(self, changes: Mapping[str, Change], saved: Mapping[str, Change]) -> None:
        draft = Draft.of(self._station.profile)
        for change in changes.values():
            change.apply(draft)
        parts = sorted({change.part for change in saved.values()}, key=_order)
        becomes = {key: change.tell(draft) for key, change in saved.items()}
        orders = [message(part, draft) for part in parts]
        self._orders.gone.clear()
        if len(orders) > 1:
            await self._transact(orders)
        else:
            await self._orders.exchange(orders[0], None)
        if len(orders) > 1 or parts[0].section is not Section.CHANNEL:
            await self._restart()
        await self._ask(set(parts), within_s=BACK_WITHIN_S)
        self._check(saved, becomes)

    async def _empty(self) -> None:
        """Wait until the radio has sent what it has: a restart would lose it, and we said that it was sent."""
        until = self._clock.monotonic() + EMPTY_WITHIN_S
        while self._clock.monotonic() < until:
            heard = await within(self._clock, ANSWER_WITHIN_S, (await self._orders.ready()).probe())
            if heard and not self._station.queue_ahead:
                return
            await self._clock.sleep(1.0)
        raise Declined("the radio has texts to send yet, which a restart would lose: try again later")

    async def _transact(self, orders: Sequence[AdminMessage]) -> None:
        await self._orders.exchange(AdminMessage(begin_edit_settings=True), None)
        try:
            for order in orders:
                await self._orders.exchange(order, None, over_loss=False)
            await self._orders.exchange(AdminMessage(commit_edit_settings=True), None, over_loss=False)
        except (Declined, Unconfirmed, LinkDown) as error:
            why = f"it broke off in the middle ({error}), and nothing is saved: restart the radio, then look again"
            raise Unconfirmed(why) from error

    async def _restart(self) -> None:
        gone = asyncio.create_task(self._orders.gone.wait(), name="radio's restart is waited for")
        try:
            await within(self._clock, RESTART_WITHIN_S, gone)
        finally:
            gone.cancel()

    def _check(self, saved: Mapping[str, Change], becomes: Mapping[str, str]) -> None:
        now = Draft.of(self._station.profile)
        kept = [f"{key} {change.tell(now)}" for key, change in saved.items() if change.tell(now) != becomes[key]]
        if kept:
            raise Declined(f"the radio took the orders, and kept {', '.join(kept)}")

    async def _set_time(self) -> None:
        part = Part(Section.TIME)
        draft = Draft.of(self._station.profile)
        draft.time_s = self._clock.now_ms() // 1000
        await self._orders.exchange(message(part, draft), None)
        await self._orders.exchange(question(part), part)
        if not self._orders.stamped_s:
            raise Declined("the radio took the time, and shows none yet: look again with radio show")
        if abs(self._orders.stamped_s - self._clock.now_ms() / 1000) >= CLOCK_OFF_S:
            raise Declined("the radio kept its own time: a GPS goes before us")


def _order(part: Part) -> tuple[str, int]:
    return part.section.value, part.index
