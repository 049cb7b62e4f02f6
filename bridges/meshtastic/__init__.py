# SPDX-License-Identifier: GPL-3.0-or-later
"""The bridge to a Meshtastic radio, on a serial line or TCP. Importing it loads no protobufs."""

from __future__ import annotations

from bridges.meshtastic.config import apart, check
from bridges.meshtastic.places import is_direct, malformed
from gateway.model import Bridge, BridgeContext, BridgeKind

__all__ = ["kind"]


def _create(context: BridgeContext) -> Bridge:
    # The protobufs cost 20 MiB: only a gateway that has a radio pays for them.
    from bridges.meshtastic.bridge import MeshtasticBridge  # noqa: PLC0415

    return MeshtasticBridge(context)


kind = BridgeKind(create=_create, check=check, apart=apart, in_clear=True, is_direct=is_direct, malformed=malformed)
