# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a packet is on the air. Pure arithmetic over a modem's settings."""

from __future__ import annotations

import math
from typing import assert_never

from bridges.meshtastic.modem import Modem
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
