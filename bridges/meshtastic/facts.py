# SPDX-License-Identifier: GPL-3.0-or-later
"""How a radio is set, as it may be shown to anybody who runs it: no key, no password. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from meshtastic.protobuf.channel_pb2 import Channel as RawChannel
from meshtastic.protobuf.config_pb2 import Config
from meshtastic.protobuf.mesh_pb2 import HardwareModel

from bridges.meshtastic import channel_keys
from bridges.meshtastic.modem import name_of
from bridges.meshtastic.node_clock import NodeClock
from bridges.meshtastic.places import node_id, spelling
from bridges.meshtastic.profile import Profile
from bridges.meshtastic.station import Station

_LoRa = Config.LoRaConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFacts:
    """One channel slot in use."""

    index: int
    name: str
    role: str
    key: str
    """How good it is, in words."""
    public: bool
    """Everybody can read it."""
    bridged: bool
    """A route names it."""
    uplink: bool
    downlink: bool
    position_precision: int
    """Bits of a position that are told; 32: all, 0: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RadioFacts:
    """Everything that is shown of a radio."""

    node: str
    long_name: str
    short_name: str
    licensed: bool
    hardware: str
    role: str
    firmware: str
    region: str
    preset: str
    spreading_factor: int
    bandwidth_khz: float
    coding_rate: int
    hop_limit: int
    tx_enabled: bool
    tx_power_dbm: int
    """0: the most the region allows."""
    frequency_slot: int
    """0: by the primary channel's name."""
    override_frequency_mhz: float
    override_duty_cycle: bool
    ignore_mqtt: bool
    ok_to_mqtt: bool
    mqtt: bool
    mqtt_encrypted: bool
    mqtt_map: bool
    serial_console: bool
    serial_module: bool
    debug_log: bool
    managed: bool
    admin_keys: int
    has_keys: bool
    fixed_position: bool
    gps: bool
    clock_unset: bool
    clock_off_s: int | None
    channels: tuple[ChannelFacts, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {**asdict(self), "channels": [asdict(each) for each in self.channels]}


def facts_of(station: Station, routed: Collection[str], clock: NodeClock) -> RadioFacts:
    """Gather what the node told; `routed`: the conversations that routes name."""
    profile, lora, modem = station.profile, station.profile.lora, station.modem
    return RadioFacts(
        node=node_id(profile.number),
        long_name=_clean(profile.owner.long_name),
        short_name=_clean(profile.owner.short_name),
        licensed=profile.owner.is_licensed,
        hardware=label(HardwareModel, profile.owner.hw_model),
        role=label(Config.DeviceConfig.Role, profile.role),
        firmware=station.firmware,
        region=label(_LoRa.RegionCode, lora.region),
        preset=preset_of(lora),
        spreading_factor=modem.spreading_factor,
        bandwidth_khz=modem.bandwidth_khz,
        coding_rate=modem.coding_rate,
        hop_limit=lora.hop_limit,
        tx_enabled=lora.tx_enabled,
        tx_power_dbm=lora.tx_power,
        frequency_slot=lora.channel_num,
        override_frequency_mhz=round(lora.override_frequency, 4),
        override_duty_cycle=lora.override_duty_cycle,
        ignore_mqtt=lora.ignore_mqtt,
        ok_to_mqtt=lora.config_ok_to_mqtt,
        clock_unset=clock.is_unset,
        clock_off_s=clock.off_s,
        channels=_channels(station, routed),
        **_switches(profile),
    )


def _switches(profile: Profile) -> Mapping[str, Any]:
    security, modules = profile.security, profile.modules
    return {
        "mqtt": modules.mqtt,
        "mqtt_encrypted": modules.mqtt_encrypted,
        "mqtt_map": modules.mqtt_map,
        "serial_module": modules.serial,
        "serial_console": security.serial_console,
        "debug_log": security.debug_log,
        "managed": security.managed,
        "admin_keys": security.admin_keys,
        "has_keys": security.has_keys,
        "fixed_position": profile.fixed_position,
        "gps": profile.gps,
    }


def _channels(station: Station, routed: Collection[str]) -> tuple[ChannelFacts, ...]:
    named, slots = station.channels, station.profile.channels
    primary = next((slot for slot in slots.values() if slot.role == RawChannel.Role.PRIMARY), RawChannel())
    primary_is_public = channel_keys.is_public(primary.settings.psk, is_primary=True)
    found = []
    for index, slot in sorted(slots.items()):
        if slot.role == RawChannel.Role.DISABLED:
            continue
        key, is_primary = slot.settings.psk, slot.role == RawChannel.Role.PRIMARY
        found.append(
            ChannelFacts(
                index=index,
                name=_clean(named[index].name if index in named else slot.settings.name),
                role=label(RawChannel.Role, slot.role).lower(),
                key=channel_keys.described(key, is_primary=is_primary),
                public=channel_keys.is_public(key, is_primary=is_primary) if key else primary_is_public,
                bridged=f"#{index}" in routed or spelling(index, named, routed) in routed,
                uplink=slot.settings.uplink_enabled,
                downlink=slot.settings.downlink_enabled,
                position_precision=slot.settings.module_settings.position_precision,
            )
        )
    return tuple(found)


def _clean(name: str) -> str:
    """Return a name without what could steer a terminal."""
    return "".join(character if character.isprintable() else " " for character in name)


def preset_of(lora: Config.LoRaConfig) -> str:
    """Return the modem preset as the firmware names it; ``CUSTOM`` for settings of one's own."""
    return (name_of(lora.modem_preset) or str(lora.modem_preset)) if lora.use_preset else "CUSTOM"


def label(names: object, number: int) -> str:
    """Return a protobuf enum's name, or the number that newer firmware uses."""
    try:
        return str(names.Name(number))  # type: ignore[attr-defined]  # protobuf's wrappers share no type
    except ValueError:
        return str(number)
