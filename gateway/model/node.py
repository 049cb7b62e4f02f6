# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody or something out there that a bridge knows of."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.model.location import Location
from gateway.model.message import SenderId


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One entry of a bridge's directory: what it said of itself, and how it was heard. Times by the gateway's clock."""

    id: SenderId
    name: str
    """As it calls itself now; its id while that isn't known."""
    short_name: str = ""
    former_names: tuple[str, ...] = ()
    """Long and short ones it had before, the latest first; a few."""
    hardware: str = ""
    role: str = ""
    last_heard_ms: int | None = None
    """None: never, or when this box's clock was wrong."""
    snr_db: float | None = None
    """Of the last transmission that reached us: by whoever relayed it, where `hops` isn't 0."""
    rssi_dbm: int | None = None
    hops: int | None = None
    """How many relayed what was heard of it last; 0: heard directly."""
    battery_percent: int | None = None
    via_mqtt: bool | None = None
    """Whether what was heard last came over the internet."""
    has_key: bool | None = None
    """Whether its public key is known; None: its network has none."""
    place: Location | None = None
    """Where it said it is, as exactly as it said it: whoever shows this decides how coarsely (`location.coarse`)."""
    placed_ms: int | None = None
    """When it said so; None with a place: not known."""
