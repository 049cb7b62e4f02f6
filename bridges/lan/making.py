# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bridge a table makes: alone or among other boxes."""

from __future__ import annotations

from bridges.lan.bridge import LanBridge
from bridges.lan.config import LanConfig
from bridges.lan.meshed import MeshBridge
from gateway.model import BridgeContext


def make(context: BridgeContext) -> LanBridge:
    """Return the bridge. No I/O."""
    return MeshBridge(context) if LanConfig.read(context.table).sync else LanBridge(context)
