# SPDX-License-Identifier: GPL-3.0-or-later
"""How a radio's modem is set: the presets, by name and by number, and settings of one's own. Pure; no protobufs.

Figures, names and numbers are the firmware's (2.8, `modemPresetToParams`, `DisplayFormatters`, `config.proto`); the
protobufs that we build on end before the last three.
"""

from __future__ import annotations

from dataclasses import dataclass

_NARROW_KHZ = {31: 31.25, 62: 62.5, 200: 203.125, 400: 406.25, 800: 812.5, 1600: 1625.0}
"""What the radio's settings mean by these numbers."""
_SPREADING_FACTORS = range(5, 13)
_CODING_RATES = range(4, 9)
_HIGHER_RATES = range(5, 9)
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
    "TINY_FAST": Modem(7, 15.625, 5),
    "TINY_SLOW": Modem(8, 15.625, 6),
}
DEFAULT_NAME = "LONG_FAST"
DEFAULT = PRESETS[DEFAULT_NAME]

NAMES = (
    "LONG_FAST",
    "LONG_SLOW",
    "VERY_LONG_SLOW",
    "MEDIUM_SLOW",
    "MEDIUM_FAST",
    "SHORT_SLOW",
    "SHORT_FAST",
    "LONG_MODERATE",
    "SHORT_TURBO",
    "LONG_TURBO",
    "LITE_FAST",
    "LITE_SLOW",
    "NARROW_FAST",
    "NARROW_SLOW",
    "TINY_FAST",
    "TINY_SLOW",
    "MEDIUM_TURBO",
)
"""By number, as a radio's settings have it."""

_SHOWN = {"LONG_MODERATE": "LongMod", "VERY_LONG_SLOW": "VLongSlow"}


def shown(name: str) -> str:
    """Return what the apps call a preset, and a primary channel without a name after it."""
    return _SHOWN.get(name) or name.title().replace("_", "")


def name_of(number: int) -> str:
    """Return a preset's name; empty for one that is newer than this gateway."""
    return NAMES[number] if number in range(len(NAMES)) else ""


def preset(number: int, coding_rate: int) -> Modem | None:
    """Return the modem of a preset; None for one that is newer than this gateway.

    `coding_rate`: what the settings have besides; the firmware takes it where it is more robust (2.8,
    `applyModemConfig`; one that doesn't is on the air for less than is counted).
    """
    modem = PRESETS.get(name_of(number))
    if modem is None or coding_rate not in _HIGHER_RATES:
        return modem
    return Modem(modem.spreading_factor, modem.bandwidth_khz, max(modem.coding_rate, coding_rate))


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
