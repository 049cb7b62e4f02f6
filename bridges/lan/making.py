# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bridge a table makes: alone or among other boxes, with a page or without."""

from __future__ import annotations

from bridges.lan.bridge import LanBridge
from bridges.lan.config import LanConfig
from bridges.lan.meshed import MeshBridge
from gateway.model import BridgeContext


def make(context: BridgeContext) -> LanBridge:
    """Return the bridge. No I/O."""
    config = LanConfig.read(context.table)
    if not config.page:
        return MeshBridge(context) if config.sync else LanBridge(context)
    from bridges.lan.paged import Paged, PagedMeshBridge  # noqa: PLC0415 - templates and catalogues cost memory

    return PagedMeshBridge(context) if config.sync else Paged(context)
