# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own node, as it described itself in the handshake. Pure."""

from __future__ import annotations

import re

from meshtastic.protobuf.channel_pb2 import Channel as RawChannel
from meshtastic.protobuf.config_pb2 import Config
from meshtastic.protobuf.mesh_pb2 import FromRadio, MeshPacket, User

from bridges.meshtastic import modem
from bridges.meshtastic.modem import DEFAULT, Modem
from bridges.meshtastic.places import Channel
from bridges.meshtastic.profile import CHANNELS, Profile

_LoRa = Config.LoRaConfig


class Station:
    """What our node told of itself; kept from one connection to the next until it tells again."""

    def __init__(self) -> None:
        self.number = 0
        self.profile = Profile()
        """How it says it is set, to be shown."""
        self.firmware = ""
        self.has_told_number = False
        """Whether it said since `begin` which node it is: another may be at the port by now."""
        self.channels_told = 0
        """How many channel slots, used or not, it described since `begin`."""
        self.has_told_lora = False
        self.queue_free: int | None = None
        """Free places in its transmit queue, when it last said."""
        self.notice = ""
        """Its last word to people (a client notification)."""
        self.held: list[MeshPacket] = []
        """What it said while it was greeted, until the greeting, or a later one, is over."""
        self._queue_depth = 0
        self._knows_lora = False
        self._slots: dict[int, RawChannel] = {}
        self._settled: dict[int, RawChannel] = {}
        self._channels: dict[int, Channel] = {}

    def begin(self) -> None:
        """Start over: a handshake begins."""
        self.profile.begin()
        self.has_told_number = False
        self.channels_told = 0
        self.has_told_lora = False
        self.queue_free = None
        self._slots = {}

    @property
    def is_complete(self) -> bool:
        """Whether the handshake brought all that sending needs: a cut frame may have taken some."""
        return self.has_told_number and self.has_told_lora and self.channels_told >= CHANNELS

    @property
    def channels(self) -> dict[int, Channel]:
        """The channels in use, by index, as of the last finished handshake."""
        return self._channels

    @property
    def user(self) -> User | None:
        """How it introduces itself, its public key included; None while that isn't known."""
        return self.profile.owner if self.profile.owner.ByteSize() else None

    @property
    def preset(self) -> str:
        """The modem preset as the apps show it; ``Custom`` for settings of one's own."""
        return preset_name(self.profile.lora)

    @property
    def modem(self) -> Modem:
        """How its modem is set, by which airtime goes; the default's where that is not known."""
        return self._modem() or DEFAULT

    @property
    def modem_words(self) -> str:
        """What `modem` is, for people; it says where it is only assumed."""
        if self._modem() is not None:
            return self.preset
        default = modem.shown(modem.DEFAULT_NAME)
        why = "the radio's preset has no figures here" if self._knows_lora else "the radio has not told its preset yet"
        return f"assuming {default}: {why}"

    def _modem(self) -> Modem | None:
        return modem_of(self.profile.lora) if self._knows_lora else None

    @property
    def region(self) -> str:
        """The region, as the firmware names it."""
        try:
            return str(Config.LoRaConfig.RegionCode.Name(self.profile.lora.region))
        except ValueError:
            return str(self.profile.lora.region)

    @property
    def lora(self) -> Config.LoRaConfig | None:
        """How its radio is set; None while that isn't known."""
        return self.profile.lora if self._knows_lora else None

    @property
    def slots(self) -> dict[int, RawChannel]:
        """The channels in use, as it describes them, by index, as of the last finished handshake. Keys are in it."""
        return self._settled

    @property
    def queue_ahead(self) -> int:
        """How many packets waited in its transmit queue, when it last said."""
        return max(0, self._queue_depth - self.queue_free) if self.queue_free is not None else 0

    @property
    def silence(self) -> str:
        """Why it may not transmit at all, for the operator; empty if it may, or hasn't told."""
        if not self._knows_lora:
            return ""
        if self.profile.lora.region == _LoRa.UNSET:
            return "the radio has no region set: until it has, it transmits nothing"
        return "" if self.profile.lora.tx_enabled else "the radio's transmitter is switched off"

    def is_at_least(self, *version: int) -> bool:
        """Tell whether its firmware is of this version or later; what is not known is not."""
        told = re.match(r"(\d+)\.(\d+)\.(\d+)", self.firmware)
        return told is not None and tuple(int(each) for each in told.groups()) >= version

    def learn(self, said: FromRadio) -> None:
        """Take what tells of the node itself: the handshake's pieces, its queue's state."""
        self.profile.learn(said)
        match said.WhichOneof("payload_variant"):
            case "my_info":
                self.number = said.my_info.my_node_num
                self.has_told_number = bool(self.number)
            case "metadata":
                self.firmware = said.metadata.firmware_version
            case "channel" if said.channel.index in range(CHANNELS):
                self._slots[said.channel.index] = said.channel
                self.channels_told = len(self._slots)
            case "config" if said.config.HasField("lora"):
                self.has_told_lora = self._knows_lora = True
            case "queueStatus":
                self.queue_free = said.queueStatus.free
                self._queue_depth = said.queueStatus.maxlen
            case _:
                pass

    def settle(self) -> None:
        """Name the channels: the handshake is over, and an unnamed one is named after the preset."""
        self._settled = {i: slot for i, slot in self._slots.items() if slot.role != RawChannel.Role.DISABLED}
        self._channels = {
            index: Channel(index, slot.settings.name or self.preset) for index, slot in sorted(self._settled.items())
        }


def preset_name(lora: Config.LoRaConfig) -> str:
    """Return the modem preset as the apps show it; ``Custom`` for settings of one's own."""
    return modem.shown(modem.name_of(lora.modem_preset)) or "Custom" if lora.use_preset else "Custom"


def modem_of(lora: Config.LoRaConfig) -> Modem | None:
    """Return how the modem of these settings is set; None where the preset is newer than this gateway."""
    if lora.use_preset:
        return modem.preset(lora.modem_preset, lora.coding_rate)
    return modem.custom(lora.spread_factor, lora.bandwidth, lora.coding_rate)
