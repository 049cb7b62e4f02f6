# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node keeps in its flash about how it is set, secrets included. Pure."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from dataclasses import dataclass

from meshtastic.protobuf.channel_pb2 import Channel
from meshtastic.protobuf.config_pb2 import Config
from meshtastic.protobuf.mesh_pb2 import HardwareModel, User
from meshtastic.protobuf.module_config_pb2 import ModuleConfig

from bridges.sim.airtime import PRESETS
from bridges.sim.identity import Identity, Settings

CHANNELS = 8
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


@dataclass(slots=True)
class Preferences:
    """Owner, channels, configuration by section, modules by name."""

    owner: User
    channels: list[Channel]
    sections: dict[str, Config]
    modules: dict[str, ModuleConfig]

    @classmethod
    def of(cls, own: Identity, settings: Settings) -> Preferences:
        """Return those of a node that was set up as all of a mesh are."""
        modules = {}
        for name in _MODULES:
            modules[name] = ModuleConfig()
            getattr(modules[name], name).SetInParent()
        modules["mqtt"].mqtt.username = "simulated"
        modules["mqtt"].mqtt.password = secret(own, "mqtt password").hex()
        return cls(
            owner=user(own),
            channels=[_channel(index, settings) for index in range(CHANNELS)],
            sections={section: _config(section, own, settings) for section in _SECTIONS},
            modules=modules,
        )

    def copy(self) -> Preferences:
        """Return the same, apart from this."""
        return deepcopy(self)


def user(identity: Identity) -> User:
    """Return what a node broadcasts as its NodeInfo."""
    return User(
        id=identity.id,
        long_name=identity.long_name,
        short_name=identity.short_name,
        hw_model=HardwareModel.PORTDUINO,
        public_key=identity.public_key,
    )


def secret(own: Identity, what: str) -> bytes:
    """Return 32 bytes that nobody but the node should ever show."""
    return hashlib.sha256(f"simulated {what} of {own.id}".encode()).digest()


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
    match section:
        case "security":
            config.security.public_key = own.public_key
            config.security.private_key = secret(own, "private key")
            config.security.serial_enabled = True
        case "network":
            config.network.wifi_psk = secret(own, "wi-fi").hex()[:32]
        case "lora":
            _set_lora(config.lora, settings)
        case _:
            pass
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
