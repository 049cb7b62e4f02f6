# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a packet is on the air. Pure arithmetic over a modem's settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import assert_never

from bridges.meshtastic.places import PKI_BYTES, ROOM_BYTES, is_direct
from gateway.model import Address, Edit, Location, Message, Reaction, Redaction, Text

HEADER_BYTES = 16
DATA_BYTES = 6
LONG_BYTES = 128
"""From here on the length of a text takes one byte more."""
REFERENCE_BYTES = 5
"""What `reply_id` takes, and `emoji` again."""

SIGNATURE_BYTES = 66
"""What firmware 2.8 adds to a broadcast, where it still fits."""

_SLOT_SYMBOLS = 2.5
_SLOT_FIXED_S = 0.0076
_RETRY_SLOTS = 56
"""2^3 + 2 * 8 + 2^5: the contention windows that a sender allows a relay for."""
_PROCESSING_S = 4.5
_PREAMBLE_SYMBOLS = 16 + 4.25
_SLOW_SYMBOL_S = 0.016
_NARROW_KHZ = {31: 31.25, 62: 62.5, 200: 203.125, 400: 406.25, 800: 812.5, 1600: 1625.0}
"""What the radio's settings mean by these numbers."""
_SPREADING_FACTORS = range(5, 13)
_CODING_RATES = range(4, 9)
_NARROWEST_KHZ = 7
_WIDEST_KHZ = 1625


@dataclass(frozen=True, slots=True)
class Modem:
    """Spreading factor, bandwidth and 4/`coding_rate`."""

    spreading_factor: int
    bandwidth_khz: float
    coding_rate: int

    @property
    def symbol_s(self) -> float:
        """Seconds one symbol takes."""
        return float(2**self.spreading_factor / (self.bandwidth_khz * 1000))


PRESETS = {
    "SHORT_TURBO": Modem(7, 500, 5),
    "SHORT_FAST": Modem(7, 250, 5),
    "SHORT_SLOW": Modem(8, 250, 5),
    "MEDIUM_TURBO": Modem(9, 500, 5),
    "MEDIUM_FAST": Modem(9, 250, 5),
    "MEDIUM_SLOW": Modem(10, 250, 5),
    "LONG_TURBO": Modem(11, 500, 8),
    "LONG_FAST": Modem(11, 250, 5),
    "LONG_MODERATE": Modem(11, 125, 8),
    "LONG_SLOW": Modem(12, 125, 8),
    "VERY_LONG_SLOW": Modem(12, 62.5, 8),
    "LITE_FAST": Modem(9, 125, 5),
    "LITE_SLOW": Modem(10, 125, 5),
    "NARROW_FAST": Modem(7, 62.5, 6),
    "NARROW_SLOW": Modem(8, 62.5, 6),
}
DEFAULT = PRESETS["LONG_FAST"]


def custom(spreading_factor: int, bandwidth: int, coding_rate: int) -> Modem:
    """Return the modem of settings of one's own, as the radio tells them.

    What it does not tell, or what no modem has (a damaged frame tells anything), is the default's.
    """
    khz = _NARROW_KHZ.get(bandwidth, bandwidth)
    return Modem(
        spreading_factor if spreading_factor in _SPREADING_FACTORS else DEFAULT.spreading_factor,
        khz if _NARROWEST_KHZ <= khz <= _WIDEST_KHZ else DEFAULT.bandwidth_khz,
        coding_rate if coding_rate in _CODING_RATES else DEFAULT.coding_rate,
    )


def airtime_s(modem: Modem, text_bytes: int, *, extra_bytes: int = 0) -> float:
    """Return the seconds a packet with a text of that size occupies the channel."""
    return size_s(modem, text_bytes + HEADER_BYTES + DATA_BYTES + (text_bytes >= LONG_BYTES) + extra_bytes)


def size_s(modem: Modem, size: int) -> float:
    """Return the seconds that so many bytes, with all headers, occupy the channel."""
    slow = int(modem.symbol_s > _SLOW_SYMBOL_S)
    bits = 8 * size - 4 * modem.spreading_factor + 28 + 16
    blocks = math.ceil(bits / (4 * (modem.spreading_factor - 2 * slow)))
    symbols = 8 + max(blocks * modem.coding_rate, 0)
    return (_PREAMBLE_SYMBOLS + symbols) * modem.symbol_s


def slot_s(modem: Modem) -> float:
    """Return the seconds of one contention slot (`RadioInterface::computeSlotTimeMsec`)."""
    return _SLOT_SYMBOLS * modem.symbol_s + _SLOT_FIXED_S


def retry_gap_s(modem: Modem, on_air_s: float) -> float:
    """Return how soon the firmware may try again what nobody relayed (`RadioInterface::getRetransmissionMsec`).

    The contention window is the smallest there is: on a busy channel it waits longer.
    """
    return 2 * on_air_s + _RETRY_SLOTS * slot_s(modem) + _PROCESSING_S


def message_ms(modem: Modem, message: Message, to: Address, *, signs: bool = False) -> int:
    """Return the milliseconds that sending a fitted message once takes, by our own transmitter alone.

    `signs`: the firmware signs what it broadcasts.
    """
    match message.content:
        case Text(body=text) | Edit(body=text):
            references = int(message.reply_to is not None)
        case Reaction(emoji=text):
            references = 2
        case Location():
            text = str(message.content)
            references = int(message.reply_to is not None)
        case Redaction():
            return 0  # radios have none: it is never sent
        case _:
            assert_never(message.content)
    size = len(text.encode())
    extra = REFERENCE_BYTES * references
    if is_direct(to.conversation):
        extra += PKI_BYTES
    elif signs and size + SIGNATURE_BYTES <= ROOM_BYTES:
        extra += SIGNATURE_BYTES
    return round(1000 * airtime_s(modem, size, extra_bytes=extra))
