# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a verdict on a packet of ours may take, by how the modem is set. Pure arithmetic.

Our node sends a packet up to three times, and waits after each for somebody to relay it (firmware
`RadioInterface::getRetransmissionMsec`); what others send meanwhile stops that clock. A relay waits for a
random number of slots first, and so does every relay of the answer on its way back.
"""

from __future__ import annotations

from bridges.meshtastic.airtime import retry_gap_s, slot_s
from bridges.meshtastic.modem import Modem

TRIES = 3
LEAST_S = 60.0
LONGEST_S = 840.0
"""A direct message without a last word after 15 min is given up by the core; it should hear it from us."""

BUSY = 2.0
"""On a busy channel it takes twice as long: measured 22-24 s idle and 46 s busy on LONG_FAST."""
_RELAY_SLOTS = 272
"""2 * 8 + 2^8: the longest that a relay may wait for its turn."""
_ANSWER_S_OF = 0.5
"""An acknowledgement has about half the airtime of a text of 50 bytes, and never more than what it answers."""


def tries_s(modem: Modem, on_air_s: float) -> float:
    """Return how long our node tries on an idle channel before it says that nobody relayed it."""
    return TRIES * (on_air_s + retry_gap_s(modem, on_air_s))


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
