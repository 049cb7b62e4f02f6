# SPDX-License-Identifier: GPL-3.0-or-later
"""How ``crossband radio`` writes a radio's settings as tables. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
Columns = Mapping[str, Callable[[Row], object]]

FACTS: Columns = {"setting": lambda row: row["setting"], "is": lambda row: row["is"]}
CHANNELS: Columns = {
    "channel": lambda row: row["index"],
    "name": lambda row: row["name"],
    "role": lambda row: row["role"],
    "key": lambda row: row["key"],
    "bridged": lambda row: _yes(row["bridged"]),
    "to mqtt": lambda row: _yes(row["uplink"]),
    "from mqtt": lambda row: _yes(row["downlink"]),
    "position": lambda row: _precision(row["position_precision"]),
}
ALTERATIONS: Columns = {
    "setting": lambda row: row["key"],
    "is": lambda row: row["was"],
    "becomes": lambda row: row["becomes"],
}
_ALL_BITS = 32


def facts(settings: Row) -> Sequence[Row]:
    """Return what is not about one channel, a row each, in words."""
    power = settings["tx_power_dbm"]
    frequency = settings["override_frequency_mhz"]
    said = {
        "port": settings["port"] + ("" if settings["connected"] else ", not connected now: as it told last"),
        "node": f"{settings['node']} {settings['long_name']} ({settings['short_name']})",
        "hardware": settings["hardware"],
        "firmware": settings["firmware"],
        "role": settings["role"],
        "region": settings["region"],
        "preset": f"{settings['preset']}: {_modem(settings)}",
        "frequency": f"{frequency} MHz" if frequency else _slot(settings["frequency_slot"]),
        "hop_limit": settings["hop_limit"],
        "tx": "on" if settings["tx_enabled"] else "off",
        "power": f"{power} dBm" if power else "the most the region allows",
        "duty cycle": "ignored" if settings["override_duty_cycle"] else "kept",
        "mqtt": _mqtt(settings),
        "others' mqtt": "ignored" if settings["ignore_mqtt"] else "taken",
        "may be handed to mqtt": _yes(settings["ok_to_mqtt"]) or "no",
        "position": "fixed" if settings["fixed_position"] else ("gps" if settings["gps"] else "none"),
        "clock": _clock(settings),
        "serial": _serial(settings),
        "admin keys": f"{settings['admin_keys']}{', managed' if settings['managed'] else ''}",
    }
    return [{"setting": name, "is": value} for name, value in said.items()]


def _modem(settings: Row) -> str:
    bandwidth = f"{settings['bandwidth_khz']:g} kHz"
    return f"SF{settings['spreading_factor']}, {bandwidth}, 4/{settings['coding_rate']}"


def _mqtt(settings: Row) -> str:
    if not settings["mqtt"]:
        return "off"
    return "on" + (", encrypted" if settings["mqtt_encrypted"] else ", in clear")


def _clock(settings: Row) -> str:
    if settings["clock_unset"]:
        return "not set"
    off = settings["clock_off_s"]
    return "not seen yet" if off is None else f"{off:+d} s from ours"


def _slot(slot: int) -> str:
    return f"slot {slot}" if slot else "slot by the primary channel's name"


def _serial(settings: Row) -> str:
    named = {"serial_console": "console", "debug_log": "debug log", "serial_module": "module"}
    return ", ".join(name for key, name in named.items() if settings[key]) or "-"


def _precision(bits: int) -> str:
    return "not told" if not bits else ("exact" if bits >= _ALL_BITS else f"{bits} bit")


def _yes(is_so: bool) -> str:
    return "yes" if is_so else ""
