# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands packets to the radio one at a time, at its pace, and learns what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from meshtastic.protobuf.mesh_pb2 import MeshPacket, QueueStatus, Routing

from bridges.meshtastic import verdicts
from bridges.meshtastic.attempt import Attempt, within
from bridges.meshtastic.awaited import Awaited, Waiting
from bridges.meshtastic.convert import remote_id, sender_of
from bridges.meshtastic.link import Link
from bridges.meshtastic.meter import Meter
from bridges.meshtastic.packet_airtime import packet_s
from bridges.meshtastic.places import BROADCAST
from bridges.meshtastic.refusals import BUSY_S, Refusal, of_status
from bridges.meshtastic.sends import MOST_SENDS, Send, Sends, Verdict
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
DEFAULT_HOPS = 3
"""What the firmware takes for no hops where an acknowledgement is wanted."""
AGAIN_WITHIN_S = 300.0
"""What a radio that restarted may have lost is sent again under its id: nodes know that for old so long."""


class Transmitter:
    """Kept across connections: what was written to a radio before it went may still be answered."""

    def __init__(
        self,
        *,
        clock: Clock,
        station: Station,
        meter: Meter,
        pace_s: float,
        state_dir: Path,
        on_report: Callable[[Report], None],
        count: Callable[[str], None],
        judge: Callable[[int, Refusal], Refusal] = lambda _, refusal: refusal,
    ) -> None:
        """`judge` says what a refusal of a packet to a node comes to."""
        self._judge = judge
        self._clock = clock
        self._station = station
        self._meter = meter
        self._pace_s = pace_s
        self._on_report = on_report
        self._count = count
        self._sends = Sends(changed=self._note)
        self._awaited = Awaited(state_dir, limit=MOST_SENDS, count=count)
        self._has_loaded = False
        self._turn = asyncio.Lock()
        self._next_at = clock.monotonic()
        self._attempt: Attempt | None = None

    def load(self) -> None:
        """Learn, once, which packets of an earlier run of the gateway may still be answered."""
        if self._has_loaded:
            return
        self._has_loaded = True
        for each in self._awaited.load():
            send = Send(id=each.id, key=each.key, node=each.node, known=each.known, within_s=each.within_s)
            if each.known is not None:
                send.receipt = _receipt(send, each.known)
            self._sends.restore(send)

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
            send.within_s = self._verdict_within_s(packet)
            if send.refusal is not None:
                # It came while nobody asked, and the id is used up.
                raise self._judge(send.node, send.refusal)
            if send.receipt is not None:
                return send.receipt
            if send.known is not None:
                # An earlier try was answered after we had given up on it.
                return self._receipt(send, send.known)
            is_emergency = packet.priority == MeshPacket.Priority.ALERT
            await self._meter.admit(packet, is_emergency=is_emergency, is_ours=key is None, verdict_s=send.within_s)
            return self._receipt(send, await self._try(link, packet, send))

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Hand the radio nothing meanwhile: what it has when it restarts is lost."""
        async with self._turn:
            yield

    def lost(self, error: LinkDown) -> None:
        """Say that the link, or the radio's memory, is gone: whoever waits tries again under the same key."""
        if self._attempt is not None:
            self._attempt.take(LinkDown(str(error)))

    def restarted(self) -> None:
        """Say that the radio lost its memory: what it had taken and said nothing of is to be sent again, as it was."""
        lost = TransientError("the radio restarted before it said what became of it")
        for send in self._sends.take_back(self._clock.monotonic() - AGAIN_WITHIN_S):
            self._count("sent_again_after_restart")
            if send.key is not None:
                self._on_report(Report(key=send.key, outcome=lost))

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
            self._on_report(self._report(verdict.send.key, verdict))

    def _report(self, key: str, verdict: Verdict) -> Report:
        outcome = verdict.outcome
        if not isinstance(outcome, Certainty):
            outcome = self._judge(verdict.send.node, outcome)
        return Report(key=key, outcome=outcome, reason=verdict.reason)

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
            raise self._judge(send.node, refusal) from None
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
        return self._sends.settle(send, _receipt(send, send.known), self._clock.monotonic())

    def _verdict_within_s(self, packet: MeshPacket) -> float:
        station = self._station
        on_air_s = packet_s(station.modem, packet)
        is_direct = packet.to != BROADCAST
        ahead_s = station.queue_ahead * on_air_s
        return verdicts.within_s(
            station.modem, on_air_s, hops=packet.hop_limit or DEFAULT_HOPS, is_direct=is_direct, ahead_s=ahead_s
        )

    def _note(self, send: Send) -> None:
        if send.key is not None:
            known = None if send.refusal is not None else send.known
            self._awaited.keep(Waiting(id=send.id, key=send.key, node=send.node, known=known, within_s=send.within_s))


def _receipt(send: Send, known: Certainty) -> Receipt:
    is_final = known is Certainty.DELIVERED or (known is Certainty.HEARD and send.node == BROADCAST)
    return Receipt(remote_id=remote_id(send.id), certainty=known, more_within_s=None if is_final else send.within_s)


_WEIGHT = (Certainty.SENT, Certainty.HEARD, Certainty.DELIVERED)
