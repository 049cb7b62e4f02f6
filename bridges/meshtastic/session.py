# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection to a node as the protocol sees it: handshake, liveness, what was said. Pure.

Three calls: what the radio said in (`take`), time in (`tick`), what to tell it out (`outgoing`).
Times are seconds of a monotonic clock.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from enum import Enum

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from meshtastic.protobuf.mesh_pb2 import FromRadio, Heartbeat, MeshPacket, ToRadio

from bridges.meshtastic.events import Arrived, Event, Lost, Met, Noticed, Queued, Ready, Restarted
from bridges.meshtastic.station import Station

RESERVED_NONCES = frozenset({0, 69420, 69421})
"""69420 and 69421 ask for half of the configuration only."""

KNOCK_S = 1.0
"""Silence after which a request that brought nothing at all is repeated: the board may be booting."""
ASK_AGAIN_S = 3.0
"""Without a word of the handshake for so long it is begun anew: its end was lost, or our request."""
HANDSHAKE_SILENCE_S = 10.0
HANDSHAKE_LONGEST_S = 120.0
MOST_INCOMPLETE = 3
"""Handshakes in a row that may lack a piece before we go on with what there is."""
MOST_NAMELESS = 12
"""And so many if that lacks the node's number, without which nothing goes on."""
MOST_HELD = 256
"""Packets kept while a handshake runs; the firmware itself buffers at most 32."""
_SAID_ANYWAY = frozenset({"packet", "queueStatus", "clientNotification", "log_record"})
"""No part of a handshake: a node says these once it takes it for finished, or whenever it likes."""

HEARTBEAT_S = 30.0
"""Silence after which the radio is asked whether it lives. Costs no airtime."""
ANSWER_S = 10.0
KEEP_OPEN_S = 300.0
"""The longest we say nothing ourselves: the node closes a client that is silent for 15 min."""


class Phase(Enum):
    """Where a connection is."""

    CONFIGURING = "configuring"
    READY = "ready"
    LOST = "lost"


def parse(payload: bytes) -> FromRadio | None:
    """Return what a frame says, or None if it says nothing that this protocol knows."""
    try:
        said = FromRadio.FromString(payload)
    except DecodeError:
        return None
    return said if said.WhichOneof("payload_variant") else None


def is_plain(said: FromRadio) -> bool:
    """Tell whether this is a packet from the mesh and nothing more: what anybody on the air can send anyway."""
    is_packet = said.WhichOneof("payload_variant") == "packet"
    return is_packet and not len(UnknownFieldSet(said)) and not len(UnknownFieldSet(said.packet))


class Session:
    """One connection, from the first request to its loss."""

    def __init__(
        self,
        *,
        station: Station,
        random: random.Random,
        count: Callable[[str], None],
        now: float,
        objection: Callable[[int], str] = lambda _: "",
        strays: Callable[[int], Sequence[MeshPacket]] = lambda _: (),
    ) -> None:
        """`objection(number)`: why the node of this number is not to be used; empty if it is.

        `strays(number)`: what came from it to others, who had no use for it; asked once.
        """
        self._station = station
        self._objection = objection
        self._claim_strays = strays
        self.stranger = 0
        """The number of the node that we left, for it is not the one that is wanted."""
        self.strays: list[MeshPacket] = []
        """What it said before it let us go: its own client should have it."""
        self._random = random
        self._count = count
        self._outgoing: list[ToRadio] = []
        # Outlives this connection: a packet that came while it was greeted doesn't come again.
        self._held = station.held
        self._incomplete = 0
        self._began = self._heard_at = self._told_at = now
        self._said_at = self._asked_at = now
        self._is_asking = False
        self.phase = Phase.CONFIGURING
        self.has_heard = False
        """Whether anything that is a radio's word came at all."""
        self._ask_configuration(now)

    def outgoing(self) -> list[ToRadio]:
        """Return what is to be written, once."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def send(self, packet: MeshPacket, now: float) -> None:
        """Hand a packet to the radio."""
        self._say(ToRadio(packet=packet), now)

    def probe(self, now: float) -> None:
        """Ask the radio for a sign of life: it answers with a `Queued` of id 0."""
        if not self._is_asking and self.phase is Phase.READY:
            self._is_asking, self._asked_at = True, now
        self._beat(now)

    def farewell(self, now: float) -> None:
        """Tell the radio that we go: it keeps for us what comes from now on."""
        self._say(ToRadio(disconnect=True), now)

    def resume(self, now: float) -> None:
        """Say that we had not been listening: the radio's silence until now was ours."""
        self._heard_at = now
        self._is_asking = False

    def stood_still(self, now: float) -> None:
        """Say that we did nothing for a while: an answer that is waited for may be there, and gets its time anew."""
        if self.phase is Phase.CONFIGURING:
            self._heard_at = now
        self._asked_at = now

    def take(self, said: FromRadio, now: float) -> list[Event]:
        """Take what the radio said; return what it means. What comes after it is lost says nothing."""
        if self.phase is Phase.LOST:
            return self._take_afterwards(said)
        self._note_word(said, now)
        if said.HasField("my_info"):
            number = said.my_info.my_node_num
            if reason := self._objection(number):
                return self._leave(number, reason, now)
            self._take_up(number)
        self._station.learn(said)
        events: list[Event] = []
        match said.WhichOneof("payload_variant"):
            case "packet":
                events = self._on_packet(said.packet)
            case "node_info":
                events = [Met(said.node_info)]
            case "queueStatus":
                events = [Queued(said.queueStatus)]
            case "config_complete_id":
                events = self._on_complete(said.config_complete_id, now)
            case "rebooted":
                events = self._on_reboot(now)
            case "clientNotification":
                events = [Noticed(said.clientNotification.message)]
            case _:
                pass
        return events

    def _note_word(self, said: FromRadio, now: float) -> None:
        self._heard_at = now
        self._is_asking = False
        self.has_heard = True
        if said.WhichOneof("payload_variant") not in _SAID_ANYWAY:
            self._told_at = now

    def _take_afterwards(self, said: FromRadio) -> list[Event]:
        if self.stranger and said.HasField("packet"):
            if len(self.strays) < MOST_HELD:
                self.strays.append(said.packet)
            else:
                self._count("packet_of_another_board_dropped")
        return []

    def tick(self, now: float) -> list[Event]:
        """Say what time it is; return what follows from it."""
        if self.phase is Phase.CONFIGURING:
            return self._tick_handshake(now)
        if self.phase is Phase.LOST:
            return []
        if self._is_asking and now - self._asked_at >= ANSWER_S:
            return self._lose("the radio does not answer any more")
        if now - self._heard_at >= HEARTBEAT_S and not self._is_asking:
            self.probe(now)
        elif now - self._said_at >= KEEP_OPEN_S:
            self._beat(now)
        return []

    def _beat(self, now: float) -> None:
        # Nonce 1 would make the node describe itself to the whole mesh.
        self._say(ToRadio(heartbeat=Heartbeat(nonce=0)), now)

    def _tick_handshake(self, now: float) -> list[Event]:
        silence = now - self._heard_at
        if silence >= HANDSHAKE_SILENCE_S or now - self._began >= HANDSHAKE_LONGEST_S:
            if not self.has_heard:
                return self._lose("no radio answers", is_silent=True)
            return self._lose("the radio does not finish its greeting")
        if now - max(self._told_at, self._asked_at) >= (ASK_AGAIN_S if self.has_heard else KNOCK_S):
            self._ask_configuration(now)
        return []

    def _on_packet(self, packet: MeshPacket) -> list[Event]:
        if self.phase is Phase.READY:
            return [Arrived(packet)]
        # Own number and channels aren't known for sure yet, and it may never come again.
        if len(self._held) < MOST_HELD:
            self._held.append(packet)
        else:
            self._count("packet_before_greeting_dropped")
        return []

    def _take_up(self, number: int) -> None:
        """Go on with what this node said earlier, and forget what another did that was at the port before."""
        if self._station.number not in (0, number):
            for _ in self._held:
                self._count("packet_of_another_board_dropped")
            self._held.clear()
        self._held[:0] = self._claim_strays(number)

    def _on_complete(self, nonce: int, now: float) -> list[Event]:
        if self.phase is not Phase.CONFIGURING or nonce != self._nonce:
            return []
        if not self._station.is_complete:
            self._incomplete += 1
            self._count("greeting_incomplete")
            if self._incomplete < (MOST_INCOMPLETE if self._station.has_told_number else MOST_NAMELESS):
                self._ask_configuration(now)
                return []
            if not self._station.has_told_number:
                return self._lose("the radio does not say which node it is")
        self._incomplete = 0
        self._station.settle()
        self.phase = Phase.READY
        held = list(self._held)
        self._held.clear()
        return [Ready(), *(Arrived(packet) for packet in held)]

    def _on_reboot(self, now: float) -> list[Event]:
        self.phase = Phase.CONFIGURING
        self._began = now
        self._incomplete = 0
        self._ask_configuration(now)
        return [Restarted()]

    def _ask_configuration(self, now: float) -> None:
        self._station.begin()
        self._nonce = self._new_nonce()
        self._asked_at = now
        self._say(ToRadio(want_config_id=self._nonce), now)

    def _new_nonce(self) -> int:
        while (nonce := self._random.getrandbits(32)) in RESERVED_NONCES:
            pass
        return nonce

    def _say(self, to_radio: ToRadio, now: float) -> None:
        self._said_at = now
        self._outgoing.append(to_radio)

    def _leave(self, number: int, reason: str, now: float) -> list[Event]:
        """Let a radio that is another's go at once, before it tells us anything that its own client should get."""
        self.stranger = number
        self._outgoing.clear()
        self.farewell(now)
        self.phase = Phase.LOST
        return [Lost(reason, is_stranger=True)]

    def _lose(self, reason: str, *, is_silent: bool = False) -> list[Event]:
        self.phase = Phase.LOST
        return [Lost(reason, is_silent=is_silent)]
