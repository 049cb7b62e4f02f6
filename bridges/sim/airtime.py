# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a packet is on the air, by preset. Pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass

HEADER_BYTES = 16
DATA_BYTES = 6
LONG_PAYLOAD_BYTES = 128
"""From here on the length of a payload takes one byte more."""
PKI_BYTES = 12
REPLY_BYTES = 5
EMOJI_BYTES = 5

_PREAMBLE_SYMBOLS = 16 + 4.25
_SLOW_SYMBOL_S = 0.016
# Time between two tries, besides what is on the air: contention slots and the firmware's own work.
_RETRY_SLOTS = 56
_SLOT_SYMBOLS = 2.5
_SLOT_FIXED_S = 0.0076
_PROCESSING_S = 4.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One modem preset: spreading factor, bandwidth, and the 4/`coding_rate` code."""

    spreading_factor: int
    bandwidth_khz: int
    coding_rate: int

    @property
    def symbol_s(self) -> float:
        """Seconds one symbol takes."""
        return float(2**self.spreading_factor / (self.bandwidth_khz * 1000))


PRESETS = {
    name: Preset(spreading_factor=sf, bandwidth_khz=bw, coding_rate=cr)
    for name, sf, bw, cr in (
        ("SHORT_TURBO", 7, 500, 5),
        ("SHORT_FAST", 7, 250, 5),
        ("MEDIUM_TURBO", 9, 500, 5),
        ("SHORT_SLOW", 8, 250, 5),
        ("MEDIUM_FAST", 9, 250, 5),
        ("MEDIUM_SLOW", 10, 250, 5),
        ("LONG_TURBO", 11, 500, 8),
        ("LONG_FAST", 11, 250, 5),
        ("LONG_MODERATE", 11, 125, 8),
        ("LONG_SLOW", 12, 125, 8),
    )
}


def airtime_s(
    preset: Preset, payload_bytes: int, *, pki: bool = False, reply: bool = False, emoji: bool = False
) -> float:
    """Return the seconds a packet with this much payload occupies the channel."""
    size = payload_bytes + HEADER_BYTES + DATA_BYTES + (payload_bytes >= LONG_PAYLOAD_BYTES)
    size += PKI_BYTES * pki + REPLY_BYTES * reply + EMOJI_BYTES * emoji
    slow = 1 if preset.symbol_s > _SLOW_SYMBOL_S else 0
    bits = 8 * size - 4 * preset.spreading_factor + 28 + 16
    blocks = math.ceil(bits / (4 * (preset.spreading_factor - 2 * slow)))
    symbols = 8 + max(blocks * preset.coding_rate, 0)
    return (_PREAMBLE_SYMBOLS + symbols) * preset.symbol_s


def slot_s(preset: Preset) -> float:
    """Return the seconds of one contention slot."""
    return _SLOT_SYMBOLS * preset.symbol_s + _SLOT_FIXED_S


def retry_wait_s(preset: Preset, on_air_s: float) -> float:
    """Return how long a sender waits for somebody to repeat its packet before it tries again.

    Three tries of a short text come to 22 s on an idle LONG_FAST, of a long one to 140 s on
    LONG_SLOW, as measured.
    """
    return 2 * on_air_s + _RETRY_SLOTS * slot_s(preset) + _PROCESSING_S
