# SPDX-License-Identifier: GPL-3.0-or-later
"""How our node says it is set. Pure. What it tells of its secrets is not kept, but for the channels' keys.

The handshake brings the node's private key, the passwords of its Wi-Fi and of MQTT: they are looked at
here for the last time. A channel's key is kept because a channel can only be written as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshtastic.protobuf.channel_pb2 import Channel as RawChannel
from meshtastic.protobuf.config_pb2 import Config
from meshtastic.protobuf.mesh_pb2 import FromRadio, User
from meshtastic.protobuf.module_config_pb2 import ModuleConfig

CHANNELS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """What `Config.SecurityConfig` says besides keys."""

    serial_console: bool = False
    debug_log: bool = False
    managed: bool = False
    """It takes orders from its admins on the air only."""
    admin_keys: int = 0
    has_keys: bool = False
    """Whether it has a key pair of its own, for direct messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Modules:
    """What is of interest of the module configurations."""

    mqtt: bool = False
    mqtt_encrypted: bool = True
    mqtt_map: bool = False
    serial: bool = False


class Profile:
    """Kept from one connection to the next, until the node tells again."""

    def __init__(self) -> None:
        self.number = 0
        self.owner = User()
        self.lora = Config.LoRaConfig()
        self.role = 0
        self.fixed_position = False
        self.gps = False
        self.security = Security()
        self.modules = Modules()
        self.channels: dict[int, RawChannel] = {}
        self._told: set[str] = set()

    def begin(self) -> None:
        """Start over: a handshake begins."""
        self._told.clear()

    @property
    def is_told(self) -> bool:
        """Whether this handshake brought all that is shown: so far into it a node has handed over no packet."""
        channels = {f"channel {index}" for index in range(CHANNELS)}
        return {
            "my_info",
            "owner",
            "metadata",
            "lora",
            "device",
            "position",
            "security",
            "mqtt",
        } | channels <= self._told

    @property
    def is_known(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.number) and self.lora.ByteSize() > 0 and bool(self.channels)

    def learn(self, said: FromRadio) -> None:
        """Take one piece of the handshake."""
        match said.WhichOneof("payload_variant"):
            case "my_info":
                self.number = said.my_info.my_node_num
                self._told.add("my_info")
            case "metadata":
                self._told.add("metadata")
            case "node_info" if said.node_info.num == self.number and said.node_info.HasField("user"):
                self.owner = said.node_info.user
                self._told.add("owner")
            case "channel" if said.channel.index in range(CHANNELS):
                self.channels[said.channel.index] = said.channel
                self._told.add(f"channel {said.channel.index}")
            case "config":
                self._configure(said.config)
            case "moduleConfig":
                self._add_module(said.moduleConfig)
            case _:
                pass

    def _configure(self, config: Config) -> None:
        section = config.WhichOneof("payload_variant") or ""
        match section:
            case "lora":
                self.lora = config.lora
            case "device":
                self.role = config.device.role
            case "position":
                enabled = Config.PositionConfig.GpsMode.ENABLED
                self.fixed_position, self.gps = config.position.fixed_position, config.position.gps_mode == enabled
            case "security":
                self.security = _without_secrets(config.security)
            case _:
                pass
        self._told.add(section)

    def _add_module(self, config: ModuleConfig) -> None:
        now = self.modules
        match config.WhichOneof("payload_variant"):
            case "mqtt":
                mqtt = config.mqtt
                self.modules = Modules(
                    mqtt=mqtt.enabled,
                    mqtt_encrypted=mqtt.encryption_enabled,
                    mqtt_map=mqtt.map_reporting_enabled,
                    serial=now.serial,
                )
                self._told.add("mqtt")
            case "serial":
                self.modules = Modules(
                    mqtt=now.mqtt,
                    mqtt_encrypted=now.mqtt_encrypted,
                    mqtt_map=now.mqtt_map,
                    serial=config.serial.enabled,
                )
            case _:
                pass


def _without_secrets(security: Config.SecurityConfig) -> Security:
    return Security(
        serial_console=security.serial_enabled,
        debug_log=security.debug_log_api_enabled,
        managed=security.is_managed,
        admin_keys=sum(bool(key) for key in security.admin_key),
        has_keys=bool(security.public_key),
    )
