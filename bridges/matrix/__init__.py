# SPDX-License-Identifier: GPL-3.0-or-later
"""The Matrix bridge: rooms of a homeserver, through one account."""

from __future__ import annotations

from bridges.matrix.config import PATH_KEYS, MatrixConfig, check
from gateway.model import Bridge, BridgeContext, BridgeKind


def create(context: BridgeContext) -> Bridge:
    """Build the bridge; no I/O."""
    # Only a configured bridge pays for these.
    from bridges.matrix.appservice.bridge import AppserviceBridge, ListeningBridge  # noqa: PLC0415
    from bridges.matrix.bridge import MatrixBridge  # noqa: PLC0415

    config = MatrixConfig.from_table(context.table)
    if config.registration_file is None:
        return MatrixBridge(context)
    return AppserviceBridge(context) if config.listen is None else ListeningBridge(context)


kind = BridgeKind(create=create, check=check, path_keys=PATH_KEYS)

__all__ = ["kind"]
