# SPDX-License-Identifier: GPL-3.0-or-later
"""What our own node tells a client that connects: who it is and how it is set, as a radio would. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from meshtastic.protobuf.channel_pb2 import Channel as RawChannel
from meshtastic.protobuf.channel_pb2 import ChannelSettings
from meshtastic.protobuf.config_pb2 import Config
from meshtastic.protobuf.mesh_pb2 import DeviceMetadata, FromRadio, HardwareModel, MyNodeInfo, NodeInfo, User

from bridges.meshtastic.node.channels import ChannelKey
from bridges.meshtastic.places import node_id
from bridges.meshtastic.profile import CHANNELS

FIRMWARE = "2.7.26.crossband"
"""The firmware whose behaviour it follows, and that it is none."""
ROLE = Config.DeviceConfig.Role.CLIENT_MUTE
"""A node that relays nothing: everybody on the LAN has heard it too, and a copy from us would make real
radios call their own relaying off (firmware `FloodingRouter::perhapsCancelDupe`)."""


def user(number: int, *, long_name: str, short_name: str, public_key: bytes) -> User:
    """Return how our node introduces itself."""
    return User(
        id=node_id(number),
        long_name=long_name,
        short_name=short_name,
        hw_model=HardwareModel.PRIVATE_HW,
        role=ROLE,
        public_key=public_key,
    )


def answers(
    nonce: int,
    *,
    number: int,
    own: User,
    channels: Sequence[ChannelKey],
    lora: Config.LoRaConfig,
    others: Iterable[NodeInfo],
) -> list[FromRadio]:
    """Return the answer to ``want_config_id``."""
    nodes = list(others)
    said = [
        FromRadio(my_info=MyNodeInfo(my_node_num=number, nodedb_count=len(nodes) + 1)),
        FromRadio(node_info=NodeInfo(num=number, user=own)),
        FromRadio(metadata=DeviceMetadata(firmware_version=FIRMWARE, hw_model=own.hw_model, role=ROLE, hasPKC=True)),
        *(FromRadio(channel=_slot(index, channels)) for index in range(CHANNELS)),
        FromRadio(config=Config(device=Config.DeviceConfig(role=ROLE))),
        FromRadio(config=Config(lora=lora)),
        *(FromRadio(node_info=node) for node in nodes if node.num != number),
    ]
    return [*said, FromRadio(config_complete_id=nonce)]


def _slot(index: int, channels: Sequence[ChannelKey]) -> RawChannel:
    if index >= len(channels):
        return RawChannel(index=index, role=RawChannel.Role.DISABLED)
    settings = ChannelSettings(name=channels[index].name, psk=channels[index].psk)
    role = RawChannel.Role.SECONDARY if index else RawChannel.Role.PRIMARY
    return RawChannel(index=index, settings=settings, role=role)
