# SPDX-License-Identifier: GPL-3.0-or-later
"""Who the simulated nodes are and how their radios are set."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

BROADCAST = 0xFFFFFFFF

DUTY_CYCLE_PERCENT = {"EU_868": 10.0, "EU_433": 10.0, "UA_433": 10.0, "UA_868": 1.0, "TH": 10.0, "EU_866": 2.5}
"""By region; others may send all the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a node tells everybody about itself."""

    number: int
    long_name: str
    short_name: str
    latitude: float = 0.0
    longitude: float = 0.0
    altitude_m: int = 0

    @property
    def id(self) -> str:
        """The number as people see it: ``!a1b2c301``."""
        return f"!{self.number:08x}"

    @property
    def public_key(self) -> bytes:
        """32 bytes that stand for a key; nothing is encrypted in here."""
        return hashlib.sha256(b"simulated key of " + self.id.encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSetup:
    """A channel all simulated nodes share. An empty name on the first one: the preset's name is shown."""

    name: str
    psk: bytes = b"\x01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How all radios of a simulated mesh are set."""

    preset: str = "LONG_FAST"
    region: str = "US"
    hop_limit: int = 3
    channels: tuple[ChannelSetup, ...] = (
        ChannelSetup(name=""),
        ChannelSetup(name="Town", psk=hashlib.sha256(b"simulated town").digest()[:16]),
    )
    text_interval_s: float = 2.0
    """A client's text sooner than this after the last accepted one is dropped."""
    buffered: int = 32
    """Packets a node keeps for a client that isn't there: 8, 16 or 32, by chip."""
    boot_s: float = 2.0
    silent_client_s: float = 900.0
    telemetry_s: float = 0.0
    """How often a node tells its client of itself: firmware does so every 60 s. 0: never, as most tests want it."""
    telemetry_to_mesh_s: float = 1800.0
    """How often it tells the mesh, where it tells at all."""
    firmware_version: str = "2.7.26.sim"


GATEWAY = Identity(
    number=0xA1B2C300, long_name="Hilltop gateway", short_name="HILL", latitude=47.05, longitude=8.30, altitude_m=612
)
FAR_NODES = (
    Identity(
        number=0xA1B2C301, long_name="Ridge relay", short_name="RDGE", latitude=47.07, longitude=8.33, altitude_m=1104
    ),
    Identity(
        number=0xA1B2C302, long_name="Market square", short_name="MRKT", latitude=47.04, longitude=8.31, altitude_m=438
    ),
    Identity(
        number=0xA1B2C303, long_name="River lock", short_name="RIVR", latitude=47.02, longitude=8.27, altitude_m=421
    ),
)
