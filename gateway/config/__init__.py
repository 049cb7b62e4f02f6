# SPDX-License-Identifier: GPL-3.0-or-later
"""One TOML file becomes one frozen `Settings`, or an error that names file, line, key and mend."""

from gateway.config.loading import control_socket, find, load
from gateway.config.problems import InvalidConfig, Problem
from gateway.config.settings import (
    ApiSettings,
    BridgeSettings,
    GatewaySettings,
    JournalSettings,
    LogSettings,
    QueueSettings,
    Settings,
)

__all__ = [
    "ApiSettings",
    "BridgeSettings",
    "GatewaySettings",
    "InvalidConfig",
    "JournalSettings",
    "LogSettings",
    "Problem",
    "QueueSettings",
    "Settings",
    "control_socket",
    "find",
    "load",
]
