# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``[bridges.NAME]`` table of the LAN mesh. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from bridges.lan.page_rules import Pace
from gateway.model import ConfigError
from gateway.model.units import host_port, seconds

DEFAULT_PAGE = "0.0.0.0:8081"
DEFAULT_SYNC = "0.0.0.0:8448"
DEFAULT_RETENTION = "30d"
LEAST_RETENTION_S = 86_400
"""Less than the core remembers what it has seen, and a box that was away a day would find nothing."""
MOST_PEERS = 64
MOST_BURST = 100
MOST_HOSTS = 32
_KEYS = frozenset({"kind", "page", "hosts", "sync", "peers", "interfaces", "discover", "retention", "direct"})
_PACE_KEYS = frozenset({"radio_pace", "radio_burst", "slow"})
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\Z")
_INTERFACE = re.compile(r"(?!\.{1,2}\Z)[!-+\--.0-9;-~]{1,15}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class LanConfig:
    """What the table says."""

    page: str
    """``host:port`` of the chat page; empty: there is none."""
    sync: str
    """``host:port`` where other boxes come to; empty: this box knows no other."""
    hosts: tuple[str, ...] = ()
    """More names that the page may be asked under."""
    peers: tuple[str, ...] = ()
    """``host:port`` of boxes that are asked wherever they are not found by themselves."""
    interfaces: tuple[str, ...] = ()
    """Where boxes look for each other; none named: on all."""
    discover: bool = True
    """Whether they look for each other by mDNS."""
    retention_s: int = 30 * 86_400
    """How long what was said is kept."""
    pace: Pace = field(default_factory=Pace)
    """How often somebody at the page may speak."""

    @classmethod
    def read(cls, table: Mapping[str, Any]) -> Self:
        """Read a raw table; ConfigError names the key relative to it."""
        for key in table:
            if key not in _KEYS | _PACE_KEYS:
                mend = f"Known are: {', '.join(sorted(_KEYS | _PACE_KEYS))}"
                raise ConfigError(f"{key!r} is not known here", key=key, mend=mend)
        return cls(
            page=_address(table, "page", DEFAULT_PAGE) if table.get("page", "") != "" else "",
            sync=_address(table, "sync", DEFAULT_SYNC) if table.get("sync", "") != "" else "",
            hosts=_hosts(table),
            peers=_peers(table),
            interfaces=_interfaces(table),
            discover=_switch(table, "discover", default=True),
            retention_s=_retention(table),
            pace=_pace(table),
        )


def check(table: Mapping[str, Any]) -> frozenset[str]:
    """Validate a raw table; return the ports it will hold."""
    config = LanConfig.read(table)
    if config.page and config.page == config.sync and not config.page.endswith(":0"):
        raise ConfigError(f"page and sync are both {config.page}", key="sync", mend="Give each a port of its own")
    return frozenset(f"tcp:{at}" for at in (config.page, config.sync) if at and not at.endswith(":0"))


def apart(held: str) -> str:
    """Return what to write where two bridges want the same port."""
    del held
    return "Give page and sync ports that nothing else has"


def _address(table: Mapping[str, Any], key: str, default: str) -> str:
    value = table.get(key, default)
    try:
        host, port = host_port(value if isinstance(value, str) else "")
    except ValueError as error:
        raise ConfigError(str(error), key=key, mend=f'Write {key} = "{default}"') from error
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _texts(table: Mapping[str, Any], key: str, mend: str) -> Sequence[str]:
    values = table.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ConfigError(f"{key} is not a list of texts", key=key, mend=mend)
    return values


def _peers(table: Mapping[str, Any]) -> tuple[str, ...]:
    mend = 'Write peers = ["valley.lan:8448", "[fd00::2]:8448"]'
    values = _texts(table, "peers", mend)
    if len(values) > MOST_PEERS:
        raise ConfigError(f"more than {MOST_PEERS} peers", key="peers", mend="Every box tells of those it knows")
    for value in values:
        try:
            _, port = host_port(value)
        except ValueError as error:
            raise ConfigError(f"{value!r} is not a box's address", key="peers", mend=mend) from error
        if port == 0:
            raise ConfigError(f"{value!r} names no port", key="peers", mend=mend)
    return tuple(dict.fromkeys(values))


def _hosts(table: Mapping[str, Any]) -> tuple[str, ...]:
    mend = 'Write hosts = ["chat.lan", "chat.example.org"], without a port'
    values = _texts(table, "hosts", mend)
    if len(values) > MOST_HOSTS:
        raise ConfigError(f"more than {MOST_HOSTS} hosts", key="hosts", mend=mend)
    for value in values:
        if _HOST.match(value) is None:
            raise ConfigError(f"{value!r} is not a host's name", key="hosts", mend=mend)
    return tuple(dict.fromkeys(value.lower() for value in values))


def _interfaces(table: Mapping[str, Any]) -> tuple[str, ...]:
    mend = 'Write interfaces = ["wlan0", "eth0"]'
    values = _texts(table, "interfaces", mend)
    for value in values:
        if _INTERFACE.match(value) is None:
            raise ConfigError(f"{value!r} is not a network interface", key="interfaces", mend=mend)
    return tuple(dict.fromkeys(values))


def _switch(table: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = table.get(key, default)
    if not isinstance(value, bool):
        raise ConfigError(f"{key} is not true or false", key=key, mend=f"Write {key} = {str(default).lower()}")
    return value


def _pace(table: Mapping[str, Any]) -> Pace:
    usual, burst = Pace(), table.get("radio_burst", Pace().radio_burst)
    if not isinstance(burst, int) or isinstance(burst, bool) or not 1 <= burst <= MOST_BURST:
        raise ConfigError(f"radio_burst is not 1 to {MOST_BURST}", key="radio_burst", mend="Write radio_burst = 3")
    return Pace(
        radio_s=_pause(table, "radio_pace", usual.radio_s),
        radio_burst=burst,
        slow_s=0 if table.get("slow") == "0s" else _pause(table, "slow", usual.slow_s),
    )


def _pause(table: Mapping[str, Any], key: str, default: int) -> int:
    value = table.get(key)
    if value is None:
        return default
    try:
        return seconds(value if isinstance(value, str) else "")
    except ValueError as error:
        raise ConfigError(str(error), key=key, mend=f'Write {key} = "60s"') from error


def _retention(table: Mapping[str, Any]) -> int:
    value = table.get("retention", DEFAULT_RETENTION)
    mend = f'Write retention = "{DEFAULT_RETENTION}", at least "1d"'
    try:
        found = seconds(value if isinstance(value, str) else "")
    except ValueError as error:
        raise ConfigError(str(error), key="retention", mend=mend) from error
    if found < LEAST_RETENTION_S:
        raise ConfigError("a box that was away for a day would find nothing", key="retention", mend=mend)
    return found
