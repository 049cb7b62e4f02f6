# SPDX-License-Identifier: GPL-3.0-or-later
"""What `crossband radio set` may change, and to what. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from meshtastic.protobuf.channel_pb2 import Channel as RawChannel
from meshtastic.protobuf.config_pb2 import Config

from bridges.meshtastic import channel_keys
from bridges.meshtastic.config import MOST_HOPS
from bridges.meshtastic.facts import label, preset_of
from bridges.meshtastic.modem import NAMES
from bridges.meshtastic.places import CHANNEL_NAME_BYTES, LONG_NAME_BYTES, SHORT_NAME_BYTES
from bridges.meshtastic.profile import CHANNELS, Profile
from bridges.meshtastic.sections import Draft, Part, Section
from gateway.model import NEVER_SET_MS, Alteration, Declined

_LoRa = Config.LoRaConfig
_CHANNEL = re.compile(rf"channel\.([0-{CHANNELS - 1}])\.(name|key|role)\Z")
SETTINGS = (
    "region",
    "preset",
    "hop_limit",
    "tx",
    "long_name",
    "short_name",
    "channel.N.name",
    "channel.N.key",
    "channel.N.role",
    "time",
)
_ON = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}


Effect = tuple[Callable[[Draft], None], Callable[[Draft], str]]
"""What changes a draft, and what tells how that is in a draft."""


@dataclass(frozen=True, slots=True)
class Change:
    """One wanted value: where it belongs, what it does, and what it is to people."""

    part: Part
    apply: Callable[[Draft], None]
    tell: Callable[[Draft], str]
    cuts_off: str = ""


def read(wanted: Mapping[str, str], now_ms: int) -> dict[str, Change]:
    """Read what is wanted; Declined with the reason for what can't be."""
    if not wanted:
        raise Declined(f"say what to set: {', '.join(SETTINGS)}")
    return {key: _read(key, value, now_ms) for key, value in wanted.items()}


def alterations(profile: Profile, changes: Mapping[str, Change]) -> Sequence[Alteration]:
    """Return what of it is not so already; Declined for what would leave the radio without a use."""
    before, after = Draft.of(profile), Draft.of(profile)
    for change in changes.values():
        change.apply(after)
    _check(before, after, {change.part.index for change in changes.values() if change.part.section is Section.CHANNEL})
    found = []
    for key, change in changes.items():
        was, becomes = change.tell(before), change.tell(after)
        if was != becomes:
            cuts_off = change.cuts_off if not _is_new(before, change.part) else ""
            found.append(Alteration(key=key, was=was, becomes=becomes, cuts_off=cuts_off))
    return found


def _read(key: str, value: str, now_ms: int) -> Change:
    channel = _CHANNEL.match(key)
    if channel is not None:
        return _of_channel(int(channel[1]), channel[2], value)
    if key == "time":
        return _time(value, now_ms)
    reader = _READERS.get(key)
    if reader is None:
        raise Declined(f"{key!r} can't be set here; what can is {', '.join(SETTINGS)}")
    return reader(value)


def _region(value: str) -> Change:
    name = value.strip().upper()
    if name not in _LoRa.RegionCode.keys() or name == "UNSET":  # noqa: SIM118 - an enum wrapper isn't iterable
        known = ", ".join(each for each in _LoRa.RegionCode.keys() if each != "UNSET")  # noqa: SIM118
        raise Declined(f"there is no region {value!r}; there is {known}")

    def apply(draft: Draft) -> None:
        # The firmware turns the transmitter on itself where no region was set before.
        draft.lora.tx_enabled = draft.lora.tx_enabled or draft.lora.region == _LoRa.RegionCode.UNSET
        draft.lora.region = _LoRa.RegionCode.Value(name)

    cuts = "everybody on the present region's frequencies, and it must be that of the country it stands in"
    return Change(Part(Section.LORA), apply, lambda draft: label(_LoRa.RegionCode, draft.lora.region), cuts)


def _preset(value: str) -> Change:
    wanted = value.strip().upper().replace("_", "")
    known = {name.replace("_", ""): name for name in NAMES}
    if wanted not in known:
        raise Declined(f"there is no preset {value!r}; there is {', '.join(known.values())}")
    name = known[wanted]

    def apply(draft: Draft) -> None:
        draft.lora.use_preset = True
        draft.lora.modem_preset = cast("Config.LoRaConfig.ModemPreset.ValueType", NAMES.index(name))

    cuts = (
        f"everybody who is not on {name} too; and routes to a primary channel without a name, for it has the preset's"
    )
    return Change(Part(Section.LORA), apply, lambda draft: preset_of(draft.lora), cuts)


def _hop_limit(value: str) -> Change:
    if not (value.isascii() and value.isdecimal() and 1 <= int(value) <= MOST_HOPS):
        raise Declined(f"hop_limit is a number from 1 to {MOST_HOPS}, not {value!r}")

    def apply(draft: Draft) -> None:
        draft.lora.hop_limit = int(value)

    return Change(Part(Section.LORA), apply, lambda draft: str(draft.lora.hop_limit))


def _tx(value: str) -> Change:
    is_on = _ON.get(value.strip().lower())
    if is_on is None:
        raise Declined(f"tx is on or off, not {value!r}")

    def apply(draft: Draft) -> None:
        draft.lora.tx_enabled = is_on

    cuts = "" if is_on else "everybody: it sends nothing any more"
    return Change(Part(Section.LORA), apply, lambda draft: "on" if draft.lora.tx_enabled else "off", cuts)


def _owner(field: str, name: str) -> Change:
    def apply(draft: Draft) -> None:
        setattr(draft.owner, field, name)

    return Change(Part(Section.OWNER), apply, lambda draft: str(getattr(draft.owner, field)))


def _time(value: str, now_ms: int) -> Change:
    if value != "now":
        raise Declined(f"time can be set to now, this box's own, not to {value!r}")
    if now_ms < NEVER_SET_MS:
        raise Declined("this box's own clock is not set")

    def apply(draft: Draft) -> None:
        draft.time_s = now_ms // 1000

    return Change(Part(Section.TIME), apply, lambda draft: "this box's" if draft.time_s else "the node's own")


def _of_channel(index: int, what: str, value: str) -> Change:
    apply, tell = _CHANNEL_READERS[what](index, value)
    cuts = f"everybody on channel {index} who is not changed too"
    return Change(Part(Section.CHANNEL, index), apply, tell, cuts)


def _channel_name(index: int, value: str) -> Effect:
    name = _name("a channel's name", value, CHANNEL_NAME_BYTES) if value else ""

    def apply(draft: Draft) -> None:
        draft.channels[index].settings.name = name

    return apply, lambda draft: draft.channels[index].settings.name or "(the preset's)"


def _channel_key(index: int, value: str) -> Effect:
    key = channel_keys.read(value)

    def apply(draft: Draft) -> None:
        draft.channels[index].settings.psk = key

    def tell(draft: Draft) -> str:
        channel = draft.channels[index]
        return channel_keys.described(channel.settings.psk, is_primary=channel.role == RawChannel.Role.PRIMARY)

    return apply, tell


def _channel_role(index: int, value: str) -> Effect:
    role = value.strip().upper()
    if role not in ("SECONDARY", "DISABLED") and not (role == "PRIMARY" and index == 0):
        raise Declined("a channel's role is secondary or disabled; channel 0 is the primary one")

    def apply(draft: Draft) -> None:
        draft.channels[index].role = RawChannel.Role.Value(role)

    return apply, lambda draft: label(RawChannel.Role, draft.channels[index].role).lower()


def _name(key: str, value: str, most: int) -> str:
    name = " ".join(value.split())
    if not name or not name.isprintable() or len(name.encode()) > most:
        raise Declined(f"{key} has 1 to {most} bytes of printable text, not {len(name.encode())}")
    return name


def _is_new(before: Draft, part: Part) -> bool:
    """Whether nobody can be cut off, since nothing is there yet."""
    if part.section is Section.CHANNEL:
        return bool(before.channels[part.index].role == RawChannel.Role.DISABLED)
    return part.section is Section.LORA and bool(before.lora.region == _LoRa.RegionCode.UNSET)


def _check(before: Draft, after: Draft, indices: set[int]) -> None:
    """Refuse what would make a channel of no use, or not the one that was meant."""
    role = RawChannel.Role
    if indices and sum(channel.role == role.PRIMARY for channel in after.channels.values()) != 1:
        raise Declined("a radio has one primary channel, no more and no less")
    for index in sorted(indices):
        channel = after.channels[index]
        if channel.role == before.channels[index].role == role.DISABLED:
            raise Declined(f"channel {index} is not in use: set channel.{index}.role=secondary too")
        if channel.role == role.SECONDARY and not channel.settings.name:
            raise Declined(f"channel {index} needs a name: set channel.{index}.name too")
        if channel.role == role.SECONDARY and not channel.settings.psk:
            raise Declined(f"channel {index} needs a key, or it has the primary one's: set channel.{index}.key too")


_READERS: Mapping[str, Callable[[str], Change]] = {
    "region": _region,
    "preset": _preset,
    "hop_limit": _hop_limit,
    "tx": _tx,
    "long_name": lambda value: _owner("long_name", _name("long_name", value, LONG_NAME_BYTES)),
    "short_name": lambda value: _owner("short_name", _name("short_name", value, SHORT_NAME_BYTES)),
}
_CHANNEL_READERS: Mapping[str, Callable[[int, str], Effect]] = {
    "name": _channel_name,
    "key": _channel_key,
    "role": _channel_role,
}
