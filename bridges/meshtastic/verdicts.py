# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a verdict on a packet of ours may take, by how the modem is set. Pure arithmetic.

Our node sends a packet up to three times, and waits after each for somebody to relay it (firmware
`RadioInterface::getRetransmissionMsec`); what others send meanwhile stops that clock. A relay waits for a
random number of slots first, and so does every relay of the answer on its way back.
"""

from __future__ import annotations

from meshtastic.protobuf.mesh_pb2 import MeshPacket
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic.airtime import REFERENCE_BYTES, Modem, airtime_s
from bridges.meshtastic.places import BROADCAST, PKI_BYTES

TRIES = 3
LEAST_S = 60.0
LONGEST_S = 840.0
"""A direct message without a last word after 15 min is given up by the core; it should hear it from us."""

BUSY = 2.0
"""On a busy channel it takes twice as long: measured 22-24 s idle and 46 s busy on LONG_FAST."""
_PROCESSING_S = 4.5
_RETRY_SLOTS = 56
"""2^3 + 2 * 8 + 2^5: the contention windows that a sender allows a relay for."""
_RELAY_SLOTS = 272
"""2 * 8 + 2^8: the longest that a relay may wait for its turn."""
_SLOT_SYMBOLS = 2.5
_SLOT_FIXED_S = 0.0076
_ANSWER_S_OF = 0.5
"""An acknowledgement has about half the airtime of a text of 50 bytes, and never more than what it answers."""
_ON_A_CHANNELS_KEY = frozenset(
    {PortNum.ROUTING_APP, PortNum.NODEINFO_APP, PortNum.POSITION_APP, PortNum.TRACEROUTE_APP}
)
"""These are never encrypted for one node alone (firmware `Router::perhapsEncode`)."""


def packet_s(modem: Modem, packet: MeshPacket) -> float:
    """Return the seconds one transmission of a packet of ours takes."""
    data = packet.decoded
    is_private = packet.to != BROADCAST and data.portnum not in _ON_A_CHANNELS_KEY
    extra = REFERENCE_BYTES * (bool(data.reply_id) + bool(data.emoji)) + PKI_BYTES * is_private
    return airtime_s(modem, len(data.payload), extra_bytes=extra)


def slot_s(modem: Modem) -> float:
    """Return the seconds of one contention slot."""
    return _SLOT_SYMBOLS * modem.symbol_s + _SLOT_FIXED_S


def tries_s(modem: Modem, on_air_s: float) -> float:
    """Return how long our node tries on an idle channel before it says that nobody relayed it."""
    return TRIES * (3 * on_air_s + _RETRY_SLOTS * slot_s(modem) + _PROCESSING_S)


def journey_s(modem: Modem, on_air_s: float, hops: int) -> float:
    """Return how long a packet takes at most to the far end over so many relays, and its answer back."""
    relay = _RELAY_SLOTS * slot_s(modem)
    return hops * (2 * relay + (1 + _ANSWER_S_OF) * on_air_s)


def within_s(modem: Modem, on_air_s: float, *, hops: int, is_direct: bool, ahead_s: float = 0.0) -> float:
    """Return how long the last word on a packet may take, between a minute and 14.

    `on_air_s`: of one transmission; `hops`: its hop limit; `ahead_s`: airtime of what waits before it in the
    radio. Of a broadcast the last word is our own node's, of a direct message the far one's.
    """
    far = journey_s(modem, on_air_s, hops) if is_direct else 0.0
    return min(LONGEST_S, max(LEAST_S, BUSY * (ahead_s + tries_s(modem, on_air_s)) + far))
