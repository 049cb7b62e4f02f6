# SPDX-License-Identifier: GPL-3.0-or-later
"""The bridge to the LAN mesh: boxes that have one log together, and people on the Wi-Fi with a browser."""

from __future__ import annotations

from bridges.lan.config import apart, check
from bridges.lan.places import is_direct, malformed
from gateway.model import Bridge, BridgeContext, BridgeKind

__all__ = ["kind"]


def _create(context: BridgeContext) -> Bridge:
    # Keys and certificates cost memory: only a gateway that has the LAN pays for them, and a page for its templates.
    from bridges.lan.making import make  # noqa: PLC0415

    return make(context)


kind = BridgeKind(
    create=_create,
    check=check,
    apart=apart,
    is_direct=is_direct,
    malformed=malformed,
    acknowledges=False,
    between_boxes=True,
)
