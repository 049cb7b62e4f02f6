# SPDX-License-Identifier: GPL-3.0-or-later
"""The Matrix bridge: rooms of a homeserver, through one account."""

from __future__ import annotations

from bridges.matrix.config import PATH_KEYS, check
from bridges.matrix.places import malformed
from gateway.model import Bridge, BridgeContext, BridgeKind


def create(context: BridgeContext) -> Bridge:
    """Build the bridge; no I/O."""
    from bridges.matrix.bridge import MatrixBridge  # noqa: PLC0415 - only a configured bridge pays for it
    from bridges.matrix.listening import ListeningMatrixBridge  # noqa: PLC0415 - the same, and only where it listens

    return (ListeningMatrixBridge if context.table.get("listen") else MatrixBridge)(context)


kind = BridgeKind(
    create=create,
    check=check,
    path_keys=PATH_KEYS,
    malformed=malformed,
    is_direct=lambda conversation: conversation.startswith("@"),  # a user: the room with them is the bridge's to find
    acknowledges=False,
)

__all__ = ["kind"]
