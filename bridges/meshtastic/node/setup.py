# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of a ``[bridges.NAME]`` table that only a node of our own has. Pure; imports no protobufs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridges.meshtastic import values
from bridges.meshtastic.modem import PRESETS
from bridges.meshtastic.places import LONG_NAME_BYTES, SHORT_NAME_BYTES
from gateway.model import ConfigError

KEYS = frozenset({"channels_file", "preset", "region", "long_name", "short_name"})
_REGION = re.compile(r"[A-Z][A-Z0-9_]{1,11}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSetup:
    """How our own node is set; empty is the default."""

    channels_file: str = ""
    """One channel URL, or lines ``NAME BASE64KEY``; empty: the public channel of the preset."""
    preset: str = ""
    """The modem preset of the radios around; empty: the channel URL's, else LONG_FAST."""
    region: str = ""
    """Theirs too: the duty cycle goes by it."""
    long_name: str = ""
    short_name: str = ""

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> NodeSetup:
        """Read the keys; ConfigError with the key and the mend."""
        setup = cls(**{key: values.text(table, key) for key in KEYS})
        if setup.preset and setup.preset not in PRESETS:
            mend = f"one of {', '.join(PRESETS)}"
            raise ConfigError(f"{setup.preset!r} is no modem preset", key="preset", mend=mend)
        if setup.region and not _REGION.match(setup.region):
            mend = 'region = "EU_868", as the apps write it'
            raise ConfigError(f"{setup.region!r} is no region", key="region", mend=mend)
        _check_size("long_name", setup.long_name, LONG_NAME_BYTES)
        _check_size("short_name", setup.short_name, SHORT_NAME_BYTES)
        return setup


def refuse(table: Mapping[str, Any]) -> None:
    """Refuse the keys where there is a radio, which is set up by itself; ConfigError."""
    for key in sorted(KEYS & set(table)):
        mend = f"leave {key} out: a radio keeps its own, which the phone apps change"
        raise ConfigError(f'{key} belongs to connection = "udp:..." alone', key=key, mend=mend)


def _check_size(key: str, value: str, most: int) -> None:
    if len(value.encode()) > most or not value.isprintable():
        raise ConfigError(f"{key} is too long", key=key, mend=f"at most {most} bytes, on one line")
