# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node tells a client that asks for its configuration. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshtastic.protobuf.mesh_pb2 import (
    DeviceMetadata,
    FromRadio,
    HardwareModel,
    MyNodeInfo,
    NodeInfo,
)

from bridges.sim.identity import Identity, Settings
from bridges.sim.preferences import Preferences, user

ONLY_CONFIG = 69420
ONLY_NODES = 69421


def answers(
    nonce: int, own: Identity, others: Sequence[NodeInfo], settings: Settings, preferences: Preferences
) -> Iterator[FromRadio]:
    """Yield what follows ``want_config_id = nonce``, ending with ``config_complete_id``."""
    if nonce == ONLY_NODES:
        yield FromRadio(node_info=_own_info(own, preferences))
    else:
        yield from _configuration(own, others, settings, preferences)
    if nonce != ONLY_CONFIG:
        for other in others:
            yield FromRadio(node_info=other)
    yield FromRadio(config_complete_id=nonce)


def _configuration(
    own: Identity, others: Sequence[NodeInfo], settings: Settings, preferences: Preferences
) -> Iterator[FromRadio]:
    my_info = MyNodeInfo(my_node_num=own.number, min_app_version=30200, nodedb_count=len(others) + 1)
    my_info.pio_env = "simulated"
    yield FromRadio(my_info=my_info)
    ui = FromRadio()
    ui.deviceuiConfig.SetInParent()
    yield ui
    yield FromRadio(node_info=_own_info(own, preferences))
    yield FromRadio(metadata=_metadata(settings))
    for channel in preferences.channels:
        yield FromRadio(channel=channel)
    for config in preferences.sections.values():
        yield FromRadio(config=config)
    for module in preferences.modules.values():
        yield FromRadio(moduleConfig=module)


def _own_info(own: Identity, preferences: Preferences) -> NodeInfo:
    info = node_info(own)
    info.user.CopyFrom(preferences.owner)
    return info


def node_info(
    identity: Identity, *, last_heard: int = 0, snr: float = 0.0, hops: int = 0, has_key: bool = True
) -> NodeInfo:
    """Return what the node database holds about a node."""
    info = NodeInfo(num=identity.number, user=user(identity), last_heard=last_heard, snr=snr, hops_away=hops)
    if not has_key:
        info.user.public_key = b""
    info.position.latitude_i = round(identity.latitude * 1e7)
    info.position.longitude_i = round(identity.longitude * 1e7)
    info.position.altitude = identity.altitude_m
    info.device_metrics.battery_level = 93
    return info


def _metadata(settings: Settings) -> DeviceMetadata:
    return DeviceMetadata(
        firmware_version=settings.firmware_version,
        device_state_version=24,
        hasWifi=True,
        hasPKC=True,
        hw_model=HardwareModel.PORTDUINO,
    )
