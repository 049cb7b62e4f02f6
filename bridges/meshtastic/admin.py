# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives orders to our own node, and to no other: one at a time, answered, read back.

Nothing here says a word until `adjust` is called. A node keeps four packets to itself and drops the oldest
without a word, so each order waits for its answer. Several sections are written as one transaction, so
that the node restarts once, and a change that breaks off in the middle is not saved.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from google.protobuf.message import DecodeError
from meshtastic.protobuf.admin_pb2 import AdminMessage
from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket, Routing
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic.alterations import Change, alterations, read
from bridges.meshtastic.attempt import within
from bridges.meshtastic.cautions import CLOCK_OFF_S
from bridges.meshtastic.convert import sender_of
from bridges.meshtastic.facts import label
from bridges.meshtastic.link import Link
from bridges.meshtastic.sections import Draft, Part, Section, answered, message, question
from bridges.meshtastic.station import Station
from gateway.model import Alteration, Clock, Declined, LinkDown, Unconfirmed

SPACING_S = 0.5
"""Between two packets to the own node: measured, closer than 0.4 s the oldest of more than four is dropped."""
ANSWER_WITHIN_S = 5.0
TRIES = 3
EMPTY_WITHIN_S = 60.0
RESTART_WITHIN_S = 15.0
"""Firmware restarts 7 s after it saved; some sections, in some versions, without a restart."""
BACK_WITHIN_S = 120.0
"""How long a board may take to boot and greet."""
LOOK_S = 0.25
MOST_REMEMBERED = 16


class Administrator:
    """Kept across connections: a radio that saves its settings restarts."""

    def __init__(
        self,
        *,
        station: Station,
        clock: Clock,
        random: random.Random,
        link: Callable[[], Link | None],
        hold: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        """`link`: the connection of the moment, if there is one; `hold`: keeps texts from the radio meanwhile."""
        self._station = station
        self._clock = clock
        self._random = random
        self._link = link
        self._hold = hold
        self._passkey = b""
        self._stamped_s = 0
        """What the node's clock showed on its last answer."""
        self._turn = asyncio.Lock()
        self._next_at = clock.monotonic()
        self._asked: tuple[int, Part | None, asyncio.Future[None]] | None = None
        """The packet that asks, which section's answer is waited for (None: that it was taken), and who waits."""
        self._said: deque[int] = deque(maxlen=MOST_REMEMBERED)
        self._gone = asyncio.Event()

    def has_said(self, id: int) -> bool:
        """Tell whether this packet was one of ours, of the last few."""
        return id in self._said

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

    def take(self, packet: MeshPacket) -> bool:
        """Take what our node answers to an order; False if the packet is nothing of the kind."""
        asked, data = self._asked, packet.decoded
        is_ours = asked is not None and data.request_id == asked[0] and sender_of(packet) == self._station.number
        if asked is None or not is_ours or asked[2].done():
            return is_ours
        self._stamped_s = packet.rx_time
        try:
            if data.portnum == PortNum.ADMIN_APP:
                self._answered(asked, AdminMessage.FromString(data.payload))
            elif data.portnum == PortNum.ROUTING_APP:
                self._ruled(asked, Routing.FromString(data.payload).error_reason)
        except DecodeError:
            pass  # asked again when the time is over
        return True

    def lost(self, error: LinkDown) -> None:
        """Say that the link, or the radio's memory, is gone: what is asked is asked again."""
        self._gone.set()
        if self._asked is not None and not self._asked[2].done():
            self._asked[2].set_exception(error)

    def _answered(self, asked: tuple[int, Part | None, asyncio.Future[None]], answer: AdminMessage) -> None:
        self._passkey = answer.session_passkey or self._passkey
        said = None if asked[1] is None else answered(asked[1], answer, self._station.number)
        if said is not None:
            self._station.learn(said)
            asked[2].set_result(None)

    def _ruled(self, asked: tuple[int, Part | None, asyncio.Future[None]], error: int) -> None:
        if error != Routing.NONE:
            asked[2].set_exception(Declined(f"the radio refused: {label(Routing.Error, error)}"))
        elif asked[1] is None:
            asked[2].set_result(None)

    async def _ask(self, parts: set[Part], *, within_s: float = TRIES * ANSWER_WITHIN_S) -> None:
        for part in sorted(parts, key=_order):
            await self._exchange(question(part), part, within_s=within_s)
        self._station.settle()

    async def _save(self, changes: Mapping[str, Change], saved: Mapping[str, Change]) -> None:
        draft = Draft.of(self._station.profile)
        for change in changes.values():
            change.apply(draft)
        parts = sorted({change.part for change in saved.values()}, key=_order)
        becomes = {key: change.tell(draft) for key, change in saved.items()}
        orders = [message(part, draft) for part in parts]
        self._gone.clear()
        if len(orders) > 1:
            await self._transact(orders)
        else:
            await self._exchange(orders[0], None)
        if len(orders) > 1 or parts[0].section is not Section.CHANNEL:
            await self._restart()
        await self._ask(set(parts), within_s=BACK_WITHIN_S)
        self._check(saved, becomes)

    async def _empty(self) -> None:
        """Wait until the radio has sent what it has: a restart would lose it, and we said that it was sent."""
        until = self._clock.monotonic() + EMPTY_WITHIN_S
        while self._clock.monotonic() < until:
            heard = await within(self._clock, ANSWER_WITHIN_S, (await self._ready()).probe())
            if heard and not self._station.queue_ahead:
                return
            await self._clock.sleep(1.0)
        raise Declined("the radio has texts to send yet, which a restart would lose: try again later")

    async def _transact(self, orders: Sequence[AdminMessage]) -> None:
        await self._exchange(AdminMessage(begin_edit_settings=True), None)
        try:
            for order in orders:
                await self._exchange(order, None, over_loss=False)
            await self._exchange(AdminMessage(commit_edit_settings=True), None, over_loss=False)
        except (Declined, Unconfirmed, LinkDown) as error:
            why = f"it broke off in the middle ({error}), and nothing is saved: restart the radio, then look again"
            raise Unconfirmed(why) from error

    async def _restart(self) -> None:
        gone = asyncio.create_task(self._gone.wait(), name="radio's restart is waited for")
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
        await self._exchange(message(part, draft), None)
        await self._exchange(question(part), part)
        if not self._stamped_s:
            raise Declined("the radio took the time, and shows none yet: look again with radio show")
        if abs(self._stamped_s - self._clock.now_ms() / 1000) >= CLOCK_OFF_S:
            raise Declined("the radio kept its own time: a GPS goes before us")

    async def _exchange(
        self,
        order: AdminMessage,
        part: Part | None,
        *,
        within_s: float = TRIES * ANSWER_WITHIN_S,
        over_loss: bool = True,
    ) -> None:
        """Say it until it is answered. Not `over_loss`: LinkDown if the link, or the radio, goes meanwhile."""
        until = self._clock.monotonic() + within_s
        while True:
            link = await self._ready()
            if not over_loss and self._gone.is_set():
                raise LinkDown("the radio was gone")
            if await self._try(link, order, part, over_loss=over_loss):
                return
            if self._clock.monotonic() >= until:
                raise Unconfirmed("the radio did not answer")

    async def _try(self, link: Link, order: AdminMessage, part: Part | None, *, over_loss: bool) -> bool:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        packet = self._packet(order)
        self._said.append(packet.id)
        self._asked = (packet.id, part, answer)
        try:
            link.send(packet)
            if not await within(self._clock, ANSWER_WITHIN_S, answer):
                return False
            await answer
        except LinkDown:
            if not over_loss:
                raise
            return False
        finally:
            self._asked = None
            self._next_at = self._clock.monotonic() + SPACING_S
        return True

    async def _ready(self) -> Link:
        until = self._clock.monotonic() + BACK_WITHIN_S
        await self._clock.sleep(max(self._next_at - self._clock.monotonic(), 0))
        while self._clock.monotonic() < until:
            link = self._link()
            if link is not None and link.failure is None and link.is_ready:
                return link
            await self._clock.sleep(LOOK_S)
        raise LinkDown(f"the radio is not connected, or did not come back within {BACK_WITHIN_S:.0f} s")

    def _packet(self, order: AdminMessage) -> MeshPacket:
        own = self._station.number
        sent = AdminMessage()
        sent.CopyFrom(order)
        sent.session_passkey = self._passkey
        # To ourselves, so that it never reaches the air; should it ever, then not over a hop.
        packet = MeshPacket(to=own, id=self._random.getrandbits(32) or 1, hop_limit=0)
        packet.decoded.CopyFrom(Data(portnum=PortNum.ADMIN_APP, payload=sent.SerializeToString(), want_response=True))
        setattr(packet, "from", own)
        return packet


def _order(part: Part) -> tuple[str, int]:
    return part.section.value, part.index
