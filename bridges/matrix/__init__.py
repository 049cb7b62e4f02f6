# SPDX-License-Identifier: GPL-3.0-or-later
"""The Matrix bridge: rooms of a homeserver, through one account."""

from __future__ import annotations

from bridges.matrix.config import PATH_KEYS, MatrixConfig, check
from bridges.matrix.places import malformed
from gateway.model import Bridge, BridgeContext, BridgeKind


def create(context: BridgeContext) -> Bridge:
    """Build the bridge; no I/O."""
    # Only a configured bridge pays for these.
    from bridges.matrix.appservice.bridge import AppserviceBridge, ListeningBridge  # noqa: PLC0415
    from bridges.matrix.bridge import MatrixBridge  # noqa: PLC0415
    from bridges.matrix.listening import ListeningMatrixBridge  # noqa: PLC0415

    config = MatrixConfig.from_table(context.table)
    if config.registration_file is None:
        return MatrixBridge(context) if config.listen is None else ListeningMatrixBridge(context)
    return AppserviceBridge(context) if config.listen is None else ListeningBridge(context)


kind = BridgeKind(
    create=create,
    check=check,
    path_keys=PATH_KEYS,
    malformed=malformed,
    is_direct=lambda conversation: conversation.startswith("@"),  # a user: the room with them is the bridge's to find
    acknowledges=False,
)

__all__ = ["kind"]
