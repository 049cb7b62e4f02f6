# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a node's configuration that can be written, and the orders that read and write them. Pure.

A section is written as a whole: it is what the node told last, with our changes. The one with the node's
private key is not among them, for what is left out of that is made anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from meshtastic.protobuf.admin_pb2 import AdminMessage
from meshtastic.protobuf.channel_pb2 import Channel as RawChannel
from meshtastic.protobuf.config_pb2 import Config
from meshtastic.protobuf.mesh_pb2 import FromRadio, NodeInfo, User

from bridges.meshtastic.profile import CHANNELS, Profile


class Section(Enum):
    """A part of the node's configuration that is written at once."""

    OWNER = "owner"
    LORA = "lora"
    CHANNEL = "channel"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Part:
    """One section; of channels, which."""

    section: Section
    index: int = 0


@dataclass(slots=True)
class Draft:
    """What the sections will be: copies of what the node told, to be changed."""

    owner: User
    lora: Config.LoRaConfig
    channels: dict[int, RawChannel]
    time_s: int = 0

    @classmethod
    def of(cls, profile: Profile) -> Draft:
        """Copy what the node told."""
        owner, lora = User(), Config.LoRaConfig()
        owner.CopyFrom(profile.owner)
        lora.CopyFrom(profile.lora)
        channels = {}
        for index in range(CHANNELS):
            channels[index] = RawChannel(index=index)
            if index in profile.channels:
                channels[index].CopyFrom(profile.channels[index])
        return cls(owner, lora, channels)


def message(part: Part, draft: Draft) -> AdminMessage:
    """Return the order that writes a section."""
    match part.section:
        case Section.OWNER:
            return AdminMessage(set_owner=draft.owner)
        case Section.LORA:
            return AdminMessage(set_config=Config(lora=draft.lora))
        case Section.CHANNEL:
            return AdminMessage(set_channel=draft.channels[part.index])
        case Section.TIME:
            return AdminMessage(set_time_only=draft.time_s)


def question(part: Part) -> AdminMessage:
    """Return what asks for a section; its answer also brings the session's passkey."""
    match part.section:
        case Section.OWNER:
            return AdminMessage(get_owner_request=True)
        case Section.LORA:
            return AdminMessage(get_config_request=AdminMessage.ConfigType.LORA_CONFIG)
        case Section.CHANNEL:
            return AdminMessage(get_channel_request=part.index + 1)  # 0 would not be told apart from none
        case Section.TIME:
            return AdminMessage(get_config_request=AdminMessage.ConfigType.SESSIONKEY_CONFIG)


def answered(part: Part, answer: AdminMessage, own: int) -> FromRadio | None:
    """Return what an answer says, as the handshake would; None if it is no answer to that question."""
    match answer.WhichOneof("payload_variant"), part.section:
        case "get_owner_response", Section.OWNER:
            return FromRadio(node_info=NodeInfo(num=own, user=answer.get_owner_response))
        case "get_config_response", Section.LORA if answer.get_config_response.HasField("lora"):
            return FromRadio(config=answer.get_config_response)
        case "get_channel_response", Section.CHANNEL if answer.get_channel_response.index == part.index:
            return FromRadio(channel=answer.get_channel_response)
        case "get_config_response", Section.TIME:
            return FromRadio()
        case _:
            return None
