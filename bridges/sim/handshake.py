# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node tells a client that asks for its configuration. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshtastic.protobuf.channel_pb2 import Channel
from meshtastic.protobuf.config_pb2 import Config
from meshtastic.protobuf.mesh_pb2 import (
    DeviceMetadata,
    FromRadio,
    HardwareModel,
    MyNodeInfo,
    NodeInfo,
    User,
)
from meshtastic.protobuf.module_config_pb2 import ModuleConfig

from bridges.sim.airtime import PRESETS
from bridges.sim.identity import Identity, Settings

ONLY_CONFIG = 69420
ONLY_NODES = 69421
_CHANNELS = 8
_SECTIONS = ("device", "position", "power", "network", "display", "lora", "bluetooth", "security")
_MODULES = (
    "mqtt",
    "serial",
    "external_notification",
    "store_forward",
    "range_test",
    "telemetry",
    "canned_message",
    "audio",
    "remote_hardware",
    "neighbor_info",
    "ambient_lighting",
    "detection_sensor",
    "paxcounter",
)


def answers(nonce: int, own: Identity, others: Sequence[NodeInfo], settings: Settings) -> Iterator[FromRadio]:
    """Yield what follows ``want_config_id = nonce``, ending with ``config_complete_id``."""
    if nonce == ONLY_NODES:
        yield FromRadio(node_info=node_info(own))
    else:
        yield from _configuration(own, others, settings)
    if nonce != ONLY_CONFIG:
        for other in others:
            yield FromRadio(node_info=other)
    yield FromRadio(config_complete_id=nonce)


def _configuration(own: Identity, others: Sequence[NodeInfo], settings: Settings) -> Iterator[FromRadio]:
    my_info = MyNodeInfo(my_node_num=own.number, min_app_version=30200, nodedb_count=len(others) + 1)
    my_info.pio_env = "simulated"
    yield FromRadio(my_info=my_info)
    ui = FromRadio()
    ui.deviceuiConfig.SetInParent()
    yield ui
    yield FromRadio(node_info=node_info(own))
    yield FromRadio(metadata=_metadata(settings))
    for index in range(_CHANNELS):
        yield FromRadio(channel=_channel(index, settings))
    for section in _SECTIONS:
        yield FromRadio(config=_config(section, own, settings))
    for module in _MODULES:
        config = ModuleConfig()
        getattr(config, module).SetInParent()
        yield FromRadio(moduleConfig=config)


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


def user(identity: Identity) -> User:
    """Return what a node broadcasts as its NodeInfo."""
    return User(
        id=identity.id,
        long_name=identity.long_name,
        short_name=identity.short_name,
        hw_model=HardwareModel.PORTDUINO,
        public_key=identity.public_key,
    )


def _metadata(settings: Settings) -> DeviceMetadata:
    return DeviceMetadata(
        firmware_version=settings.firmware_version,
        device_state_version=24,
        hasWifi=True,
        hasPKC=True,
        hw_model=HardwareModel.PORTDUINO,
    )


def _channel(index: int, settings: Settings) -> Channel:
    channel = Channel(index=index, role=Channel.Role.DISABLED)
    channel.settings.SetInParent()
    if index < len(settings.channels):
        channel.role = Channel.Role.SECONDARY if index else Channel.Role.PRIMARY
        channel.settings.name = settings.channels[index].name
        channel.settings.psk = settings.channels[index].psk
    return channel


def _config(section: str, own: Identity, settings: Settings) -> Config:
    config = Config()
    getattr(config, section).SetInParent()
    if section == "security":
        config.security.public_key = own.public_key
    if section == "lora":
        _set_lora(config.lora, settings)
    return config


def _set_lora(lora: Config.LoRaConfig, settings: Settings) -> None:
    known = Config.LoRaConfig.ModemPreset
    lora.use_preset = settings.preset in known.keys()  # noqa: SIM118 - an enum wrapper isn't iterable
    if lora.use_preset:
        lora.modem_preset = known.Value(settings.preset)
    preset = PRESETS[settings.preset]
    lora.bandwidth = preset.bandwidth_khz
    lora.spread_factor = preset.spreading_factor
    lora.coding_rate = preset.coding_rate
    lora.region = Config.LoRaConfig.RegionCode.Value(settings.region)
    lora.hop_limit = settings.hop_limit
    lora.tx_enabled = True
