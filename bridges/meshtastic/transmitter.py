# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands packets to the radio one at a time, at its pace, and learns what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from meshtastic.protobuf.mesh_pb2 import MeshPacket, QueueStatus, Routing

from bridges.meshtastic.attempt import Attempt, within
from bridges.meshtastic.convert import remote_id, sender_of
from bridges.meshtastic.link import Link
from bridges.meshtastic.meter import Meter
from bridges.meshtastic.places import BROADCAST
from bridges.meshtastic.refusals import BUSY_S, of_status
from bridges.meshtastic.sends import Send, Sends
from bridges.meshtastic.station import Station
from gateway.model import (
    Certainty,
    Clock,
    LinkDown,
    PermanentError,
    RateLimited,
    Receipt,
    Report,
    TransientError,
    Unconfirmed,
)

STATUS_WITHIN_S = 2.0
PROBE_WITHIN_S = 5.0
ROOM_WITHIN_S = 5.0
NAK_WITHIN_S = 0.3
"""The limiter's no comes as a packet, after a status that looks like a yes."""
SILENT_TRIES = 3
"""Times a living radio may pass over one id in silence before we believe that it has it."""


class Transmitter:
    """Kept across connections: what was written to a radio before it went may still be answered."""

    def __init__(
        self,
        *,
        clock: Clock,
        station: Station,
        meter: Meter,
        pace_s: float,
        on_report: Callable[[Report], None],
        count: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._station = station
        self._meter = meter
        self._pace_s = pace_s
        self._on_report = on_report
        self._count = count
        self._sends = Sends()
        self._turn = asyncio.Lock()
        self._next_at = clock.monotonic()
        self._attempt: Attempt | None = None

    @property
    def pace_left_s(self) -> float:
        """For how long the radio would still drop a text."""
        return max(0.0, self._next_at - self._clock.monotonic())

    def receipt(self, id: int, key: str) -> Receipt | None:
        """Return what was answered to this key before, if it was and still holds."""
        send = self._sends.get(id)
        return send.receipt if send and send.key == key and send.refusal is None else None

    async def transmit(self, link: Link, packet: MeshPacket, *, key: str | None) -> Receipt:
        """Send a packet and return what the radio said of it; raise its refusal, or what went wrong.

        `key` None: nobody wants to know what becomes of it later.
        """
        async with self._turn:
            await self._wait_turn(link)
            send = self._sends.begin(packet.id, key, packet.to)
            if send.refusal is not None:
                # It came while nobody asked, and the id is used up.
                raise send.refusal
            if send.receipt is not None:
                return send.receipt
            if send.known is not None:
                # An earlier try was answered after we had given up on it.
                return self._receipt(send, send.known)
            await self._meter.admit(packet, is_emergency=packet.priority == MeshPacket.Priority.ALERT)
            return self._receipt(send, await self._try(link, packet, send))

    def lost(self, error: LinkDown) -> None:
        """Say that the link, or the radio's memory, is gone: whoever waits tries again under the same key."""
        if self._attempt is not None:
            self._attempt.take(LinkDown(str(error)))

    def on_status(self, status: QueueStatus) -> None:
        """Take what the radio's transmit queue says."""
        if self._attempt is None or status.mesh_packet_id != self._attempt.id:
            if status.mesh_packet_id:
                self._count("status_of_unknown_packet")
            return
        if status.res == Routing.DUTY_CYCLE_LIMIT:
            self._meter.over_duty_cycle()
        self._attempt.take(of_status(status.res) or Certainty.SENT)

    def on_routing(self, packet: MeshPacket) -> None:
        """Take what a routing packet says of one of our packets; DecodeError if it is none."""
        answer = Routing.FromString(packet.decoded.payload)
        request = packet.decoded.request_id
        if not request or answer.WhichOneof("variant") not in ("error_reason", None):
            return
        verdict = self._sends.judge(
            request=request, error=answer.error_reason, sender=sender_of(packet), own=self._station.number
        )
        self._account(request, answer.error_reason, sender_of(packet))
        if verdict is None:
            self._count("answer_to_unknown_packet" if self._sends.get(request) is None else "answer_of_no_account")
        elif self._attempt is not None and self._attempt.id == request:
            self._attempt.take(verdict.outcome)
        elif verdict.send.receipt is not None and verdict.send.key is not None:
            self._on_report(Report(key=verdict.send.key, outcome=verdict.outcome, reason=verdict.reason))

    def _account(self, id: int, error: int, sender: int) -> None:
        send, own = self._sends.get(id), self._station.number
        if send is not None and sender in (own, send.node):
            self._meter.judged(id, error, is_own=sender == own)

    async def _wait_turn(self, link: Link) -> None:
        if self.pace_left_s > 0:
            await self._clock.sleep(self.pace_left_s)
        await link.wait_ready()
        if self._station.queue_free == 0:
            # A full queue refuses, and with the refusal the id is used up.
            until = self._clock.monotonic() + ROOM_WITHIN_S
            while self._station.queue_free == 0 and (left := until - self._clock.monotonic()) > 0:
                if await within(self._clock, left, link.probe()):
                    await self._clock.sleep(min(left, 1.0))
            if self._station.queue_free == 0:
                raise RateLimited("the radio's transmit queue is full", retry_after_s=BUSY_S, for_all=True)

    async def _try(self, link: Link, packet: MeshPacket, send: Send) -> Certainty:
        attempt = self._attempt = Attempt(packet.id)
        try:
            link.send(packet)
            self._next_at = self._clock.monotonic() + self._pace_s
            send.tries += 1
            if not await within(self._clock, STATUS_WITHIN_S, attempt.taken):
                await self._ask_after(link, attempt, send)
            await within(self._clock, NAK_WITHIN_S, attempt.refused)
            attempt.check()
        except (LinkDown, Unconfirmed):
            raise
        except (TransientError, PermanentError) as refusal:
            send.refusal = refusal
            self._meter.refused(packet.id)
            raise
        finally:
            self._attempt = None
            if not send.tries:
                self._meter.refused(packet.id)  # never written
        return attempt.certainty

    async def _ask_after(self, link: Link, attempt: Attempt, send: Send) -> None:
        """No status came: it was dropped, or the radio knows the id already and says nothing.

        The radio answers in order, so a sign of life means that it is past our packet.
        """
        alive = await within(self._clock, PROBE_WITHIN_S, link.probe())
        link.check()
        # The sign of life may overtake a status that still waited.
        if await within(self._clock, NAK_WITHIN_S, attempt.taken):
            return
        if alive and send.tries >= SILENT_TRIES and self._station.queue_free != 0:
            self._count("taken_in_silence")
            return
        raise Unconfirmed("the radio did not say whether it took it")

    def _receipt(self, send: Send, certainty: Certainty) -> Receipt:
        send.known = max(send.known or certainty, certainty, key=_WEIGHT.index)
        is_final = send.known is Certainty.DELIVERED or (send.known is Certainty.HEARD and send.node == BROADCAST)
        send.receipt = Receipt(
            remote_id=remote_id(send.id),
            certainty=send.known,
            more_within_s=None if is_final else self._station.verdict_within_s,
        )
        return send.receipt


_WEIGHT = (Certainty.SENT, Certainty.HEARD, Certainty.DELIVERED)
