# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where airtime is counted: whatever is given to the radio is asked for and noted here."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import structlog
from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket, Routing
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic import kept, turns
from bridges.meshtastic.airtime import airtime_s, message_ms, retry_gap_s
from bridges.meshtastic.allowance import Allowance, Cost, drain_s, room
from bridges.meshtastic.channel import Channel, reading
from bridges.meshtastic.fairness import Fairness
from bridges.meshtastic.ledger import Ledger, Reservation
from bridges.meshtastic.packet_airtime import packet_s
from bridges.meshtastic.places import BROADCAST, is_direct
from bridges.meshtastic.portions import Portions
from bridges.meshtastic.regions import duty_cycle_percent
from bridges.meshtastic.station import Station
from gateway.model import (
    Address,
    Airtime,
    Candidate,
    Clock,
    Delivery,
    Go,
    Hold,
    Message,
    RateLimited,
    Refuse,
    Rejected,
)

log = structlog.get_logger()

BROADCAST_TRIES = 3
DIRECT_TRIES = 3
DIRECT_TRIES_2_8 = 5
"""How often the firmware sends what asks for an acknowledgement (`NextHopRouter.h`)."""
TYPICAL_BYTES = 60
"""Of a text, where no other is at hand."""
OUT_S = 2.0
REST_S = 60.0
"""How long the radio is left alone that says its duty cycle is used up, and not for how long."""
MOST_REST_S = 3600.0
HELD_FOR_S = 5.0
"""A reason holds so much longer than it said: until it is asked again."""

_REST = re.compile(r"\s*duty cycle limit exceeded.*?(\d{1,3})\s*min", re.IGNORECASE | re.DOTALL)
"""At the beginning (firmware `Router::send`): other notices have words of other nodes in them."""
_ACK = Data(portnum=PortNum.ROUTING_APP, payload=Routing(error_reason=Routing.NONE).SerializeToString(), request_id=1)


class Meter:
    """Kept across connections, and with its file across restarts of the gateway."""

    def __init__(
        self,
        *,
        clock: Clock,
        station: Station,
        share_percent: float | None,
        want_ack: bool,
        has_radio: bool = True,
        folder: Path,
        count: Callable[[str], None],
    ) -> None:
        """`has_radio`: not so a node in software, which no region or switch keeps from telling the LAN."""
        self._has_radio = has_radio
        self._clock = clock
        self._station = station
        self._share_percent = share_percent
        self._want_ack = want_ack
        self._file = folder / kept.FILE
        self._count = count
        self.ledger = Ledger()
        self._portions = Portions()
        self._channel = Channel(self.ledger.used_ms)
        self._fairness = Fairness()
        self._rest_until = self._held_until = clock.monotonic()
        self._held = ""
        self._is_loaded = False

    def load(self) -> None:
        """Read, once, what an earlier run left. A file that can't be read is an hour of which nothing is known."""
        if self._is_loaded:
            return
        self._is_loaded = True
        with suppress(OSError):  # what lies there harms nobody
            kept.tidy(self._file)
        try:
            minutes = kept.from_text(self._file.read_text(encoding="utf-8"), self._clock.now_ms())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            # Rather silent for an hour than against the law.
            self._count("airtime_ledger_unreadable")
            log.warning("airtime_ledger_unreadable", file=str(self._file), reason=str(error))
            minutes = [(0.0, self._allowed().share_ms)]
        self.ledger.restore(minutes, self._clock.monotonic())

    async def keep(self) -> None:
        """Write down what was used. Where that fails it is counted, and the traffic goes on."""
        text = kept.to_text(self.ledger.minutes(self._clock.monotonic()), self._clock.now_ms())
        try:
            await asyncio.to_thread(kept.write, self._file, text)
        except OSError as error:
            self._count("airtime_not_kept")
            log.warning("airtime_not_kept", file=str(self._file), reason=error.strerror)

    async def admit(
        self, packet: MeshPacket, *, is_emergency: bool, verdict_s: float, is_courtesy: bool = False
    ) -> None:
        """Reserve what a packet may take, before it is written to the radio; RateLimited or Rejected if it can't be.

        `verdict_s`: how long the radio may take to say how often it was sent. `is_courtesy`: nobody
        asked us to carry it, so it goes only where there is room to spare.
        """
        now = self._clock.monotonic()
        self.ledger.used_ms(now)
        if self.ledger.holds(packet.id):
            return  # the radio knows the id: it is the same packet, written again
        cost = self._cost(self._packet_ms(packet), is_direct=packet.to != BROADCAST, wants_ack=packet.want_ack)
        if is_courtesy:
            self._check_courtesy(cost, now)
            if (hold := turns.spare(cost.ms, self._sky(), self.ledger)) is not None:
                raise RateLimited(hold.reason, retry_after_s=hold.for_s)
        full = room(self.ledger, self._allowed(), cost, others_ms=self._others_ms(), now=now, is_emergency=is_emergency)
        if full is not None and full.for_s == float("inf"):
            raise Rejected(full.reason)
        if full is not None:
            # Emergencies have more room than what is refused here: that must not keep them waiting with it.
            raise RateLimited(full.reason, retry_after_s=full.for_s, for_all=is_emergency)
        # Of what asks for no acknowledgement nothing is said: by then it is out.
        until = now + (verdict_s if cost.tries > 1 else 2 * cost.ms / 1000 + OUT_S)
        held = Reservation(at=now, ms=cost.ms, tries=cost.tries, gap_s=cost.gap_s, until=until)
        self.ledger.reserve(packet.id, held)
        if is_courtesy:
            self._portions.reserve(packet.id, held)
        await self.keep()

    def _check_courtesy(self, cost: Cost, now: float) -> None:
        wait_s = self._portions.wait_s(cost, self._allowed().share_ms, now)
        if wait_s > 0:
            self._count("courtesy_over_share")
            reason = "what the gateway says of itself has had its part of the hour's airtime"
            raise RateLimited(reason, retry_after_s=wait_s)

    def refused(self, id: int) -> None:
        """Note that the radio did not send a packet."""
        for ledger in (self.ledger, self._portions):
            ledger.release(id)

    def judged(self, id: int, error: int, *, is_own: bool) -> None:
        """Note what a routing packet says of one of ours: from our own node, or from where it went."""
        if is_own and error == Routing.DUTY_CYCLE_LIMIT:
            self.over_duty_cycle()
        if is_own and error not in (Routing.NONE, Routing.MAX_RETRANSMIT):
            self.refused(id)
            return
        for ledger in (self.ledger, self._portions):
            ledger.settle(id, self._clock.monotonic(), is_final=is_own and error == Routing.MAX_RETRANSMIT)

    def forgotten(self, id: int) -> None:
        """Note that the radio sends a packet no more unless it gets it again, which counts anew."""
        for ledger in (self.ledger, self._portions):
            ledger.settle(id, self._clock.monotonic(), is_final=False)

    def over_duty_cycle(self) -> None:
        """Note that the radio refuses everything for a while."""
        self._rest_until = max(self._rest_until, self._clock.monotonic() + REST_S)

    def noticed(self, text: str) -> None:
        """Take the firmware's word to people: for how long it refuses is said nowhere else."""
        found = _REST.match(text)
        if found:
            rest_s = min(max(60.0 * int(found[1]), REST_S), MOST_REST_S)
            self._rest_until = max(self._rest_until, self._clock.monotonic() + rest_s)

    def heard(self, packet: MeshPacket) -> None:
        """Take what our node tells of the channel; count the acknowledgement it makes for what was sent to it alone."""
        now, own = self._clock.monotonic(), self._station.number
        told = reading(packet, own, now)
        if told is not None:
            self._channel.take(told)
        elif packet.want_ack and packet.to == own and int(getattr(packet, "from")) not in (0, own):
            answer = MeshPacket(to=getattr(packet, "from"), decoded=_ACK)
            ms = self._packet_ms(answer)
            if self._portions.acknowledges(ms, self._allowed().share_ms, now):
                self.ledger.spend(ms, now)
            else:
                self._count("acknowledgements_over_share")

    def served(self, message: Message, to: Address) -> None:
        """Note whose turn it was."""
        self._fairness.served(Delivery(message=message, to=to), self.message_ms(message, to))

    def message_ms(self, message: Message, to: Address) -> int:
        """Return what sending a message once takes."""
        return message_ms(self._station.modem, message, to, signs=self._is_2_8)

    def choose(self, waiting: Sequence[Candidate], pace_s: float) -> Go | Hold | Refuse:
        """Say what becomes of these (`Schedules`). `pace_s`: for so long the radio would drop a text."""
        chosen = turns.choose(waiting, self._sky(pace_s), self.ledger, self._fairness, self._cost_of)
        match chosen:
            case Hold(for_s=for_s, reason=reason, is_brief=False):
                self._held, self._held_until = reason, self._clock.monotonic() + for_s + HELD_FOR_S
            case Go():
                self._held = ""
            case _:
                pass
        return chosen

    def not_spared(self, cost_ms: int) -> str:
        """Return why the gateway itself may not say something now that takes so long; empty if it may."""
        held = turns.spare(cost_ms, self._sky(), self.ledger)
        return held.reason if held is not None else ""

    def airtime(self) -> Airtime:
        """Return what is used and left."""
        now = self._clock.monotonic()
        return Airtime(
            used_ms=self.ledger.used_ms(now),
            allowed_ms=self._allowed().share_ms,
            window_s=round(self.ledger.window_s),
            busy_percent=self._channel.busy_percent(now),
            held=self._silence or (self._held if now < self._held_until else ""),
        )

    def drain_s(self, cost_ms: int) -> float:
        """Return the seconds until so much more will have gone out; inf while only people can make that begin."""
        if self._silence and cost_ms:
            return math.inf
        now = self._clock.monotonic()
        one_ms = round(1000 * airtime_s(self._station.modem, TYPICAL_BYTES))
        return max(drain_s(self.ledger, self._allowed(), cost_ms, now, one_ms=one_ms), self._rest_until - now)

    def _sky(self, pace_s: float = 0.0) -> turns.Sky:
        now = self._clock.monotonic()
        return turns.Sky(
            now=now,
            silence=self._silence,
            resting_s=self._rest_until - now,
            pace_s=pace_s,
            busy_percent=self._channel.busy_percent(now),
            others_ms=self._others_ms(),
            allowed=self._allowed(),
        )

    @property
    def _silence(self) -> str:
        return self._station.silence if self._has_radio else ""

    def _allowed(self) -> Allowance:
        return Allowance.of(duty_cycle_percent(self._station.region), self._share_percent)

    def _others_ms(self) -> int:
        return self._channel.others_ms(self._clock.monotonic())

    def _packet_ms(self, packet: MeshPacket) -> int:
        return round(1000 * packet_s(self._station.modem, packet, signs=self._is_2_8))

    @property
    def _is_2_8(self) -> bool:
        return self._station.is_at_least(2, 8, 0)

    def _cost_of(self, delivery: Delivery) -> Cost:
        direct = is_direct(delivery.to.conversation)
        ms = self.message_ms(delivery.message, delivery.to)
        return self._cost(ms, is_direct=direct, wants_ack=self._want_ack or direct)

    def _cost(self, ms: int, *, is_direct: bool, wants_ack: bool) -> Cost:
        tries = BROADCAST_TRIES
        if is_direct:
            tries = DIRECT_TRIES_2_8 if self._is_2_8 else DIRECT_TRIES
        return Cost(ms=ms, tries=tries if wants_ack else 1, gap_s=retry_gap_s(self._station.modem, ms / 1000))
