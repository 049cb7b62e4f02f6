# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API answers about who is out there."""

from __future__ import annotations

from pydantic import Field

from gateway.api.schemas import Said


class PlaceOut(Said):
    """Where a node said it is."""

    latitude: float
    longitude: float
    altitude_m: float | None = Field(description="Null: not said, or not asked for exactly")
    accuracy_m: float | None = Field(description="Within how many metres that is right; null: not said")
    told_ms: int | None = Field(description="When it said so; null: not known")


class HearingOut(Said):
    """How one bridge heard a node last."""

    bridge: str
    last_heard_ms: int | None
    snr_db: float | None = Field(description="Of the transmission that reached us: a relay's, where hops isn't 0")
    rssi_dbm: int | None
    hops: int | None = Field(description="How many relayed it; 0: heard directly")
    via_mqtt: bool | None = Field(description="It came over the internet")


class NodeOut(Said):
    """Somebody or something out there. What isn't known is null or empty."""

    id: str
    name: str
    short_name: str
    former_names: list[str] = Field(description="It had them before, the latest first")
    hardware: str
    role: str
    bridge: str = Field(description="That heard it last: by it the node is reached; the next five are of it")
    last_heard_ms: int | None
    snr_db: float | None
    rssi_dbm: int | None
    hops: int | None
    via_mqtt: bool | None
    heard_age_s: float | None = Field(description="How long ago it was heard last, by any bridge")
    heard_by: list[HearingOut] = Field(description="All bridges that know it, the one that heard it last first")
    battery_percent: int | None = Field(description="100 also of one that is powered from outside")
    has_key: bool | None = Field(description="Whether its public key is known; null: its network has none")
    place: PlaceOut | None = Field(description="Within a kilometre or so, unless asked for exactly")


class NodePage(Said):
    """A part of the directory."""

    nodes: list[NodeOut]
    found: int = Field(description="How many there are, on all pages")
    next_after: str | None = Field(description="Where the next page begins; null: there is none")
