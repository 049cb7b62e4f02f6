# SPDX-License-Identifier: GPL-3.0-or-later
"""Channels by name and key, as an operator writes them down or an app shares them. Pure."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError
from meshtastic.protobuf.apponly_pb2 import ChannelSet
from meshtastic.protobuf.config_pb2 import Config

from bridges.meshtastic.node.crypto import channel_hash, channel_key
from bridges.meshtastic.places import CHANNEL_NAME_BYTES
from bridges.meshtastic.profile import CHANNELS

PUBLIC = b"\x01"


class Unreadable(ValueError):
    """What is written is no channel; says where, and never shows a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelKey:
    """A channel: its name as configured (empty: named after the preset), its key as configured."""

    name: str
    psk: bytes = field(repr=False)

    @property
    def key(self) -> bytes:
        """The AES key; empty: no encryption."""
        return channel_key(self.psk)

    def hash(self, preset_name: str) -> int:
        """Return the byte by which packets name it."""
        return channel_hash(self.name or preset_name, self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelPlan:
    """What a file says: channels, the primary one first, and the modem's setting if it says that."""

    channels: tuple[ChannelKey, ...]
    lora: Config.LoRaConfig | None = None


DEFAULT_PLAN = ChannelPlan(channels=(ChannelKey(name="", psk=PUBLIC),))
"""The public channel of whatever preset."""


def read_plan(text: str) -> ChannelPlan:
    """Read a file: one channel URL, or lines ``NAME BASE64KEY``; Unreadable says which line and why."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not lines:
        raise Unreadable("it names no channel")
    if "://" in lines[0][1]:
        if len(lines) > 1:
            raise Unreadable("a channel URL stands alone: it holds all channels")
        return read_url(lines[0][1])
    return ChannelPlan(channels=_distinct([_read_line(number, line) for number, line in lines]))


def read_url(url: str) -> ChannelPlan:
    """Read what the apps share as a link or a QR code: ``https://meshtastic.org/e/#...``."""
    fragment = urlsplit(url).fragment
    try:
        said = ChannelSet.FromString(_unbase64(fragment))
    except (DecodeError, binascii.Error, ValueError) as error:
        raise Unreadable("it is not a channel URL: copy it whole, with what follows the #") from error
    channels = [_checked(each.name, each.psk, "a channel of the URL") for each in said.settings]
    lora = said.lora_config if said.HasField("lora_config") else None
    return ChannelPlan(channels=_distinct(channels), lora=lora)


def _read_line(number: int, line: str) -> ChannelKey:
    where = f"line {number}"
    name, _, written = line.partition(" ")
    try:
        psk = _unbase64(written.strip())
    except (binascii.Error, ValueError) as error:
        raise Unreadable(f"{where}: write NAME BASE64KEY, with the key as the apps show it") from error
    if not psk:
        # An empty one would be sent in clear, which nobody should get by leaving something out.
        raise Unreadable(f"{where}: the key is missing; AA== is a channel without encryption")
    return _checked(name, psk, where)


def _checked(name: str, psk: bytes, where: str) -> ChannelKey:
    if len(name.encode()) > CHANNEL_NAME_BYTES:
        raise Unreadable(f"{where}: a channel's name has at most {CHANNEL_NAME_BYTES} bytes")
    channel = ChannelKey(name=name, psk=psk)
    try:
        channel.key  # noqa: B018 - an impossible key is found here
    except ValueError as error:
        raise Unreadable(f"{where}: {error}") from error
    return channel


def _distinct(channels: list[ChannelKey]) -> tuple[ChannelKey, ...]:
    if not 0 < len(channels) <= CHANNELS:
        raise Unreadable(f"it names {len(channels)} channels; a node has 1 to {CHANNELS}")
    if len({(each.name, each.key) for each in channels}) < len(channels):
        raise Unreadable("it names one channel twice")
    return tuple(channels)


def _unbase64(text: str) -> bytes:
    """Read either alphabet of base64, padded or not."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
