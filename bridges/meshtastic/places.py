# SPDX-License-Identifier: GPL-3.0-or-later
"""Where people talk on a mesh: channels and direct chats, and how much fits in one packet. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from gateway.model import Address, Capabilities, Content, NotThere, Reaction, Support, as_said

BROADCAST = 0xFFFFFFFF

_NODE = re.compile(r"!([0-9a-f]{8})\Z")
_INDEX = re.compile(r"#([0-9])\Z")

ROOM_BYTES = 232
ROOM_REPLY_BYTES = 227
ROOM_REACTION_BYTES = 222
PKI_BYTES = 12
"""What the encryption to one node takes away from each of the rooms above."""

LONG_NAME_BYTES, SHORT_NAME_BYTES, CHANNEL_NAME_BYTES = 39, 4, 11
"""What a node and a channel may be called, at most."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel of our node: its index, and the name the phone apps show."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a packet goes: to everybody on a channel, or to one node."""

    channel: int
    node: int = BROADCAST

    @property
    def is_direct(self) -> bool:
        """Whether it goes to one node."""
        return self.node != BROADCAST


def is_direct(conversation: str) -> bool:
    """Tell whether this is a chat with one node: ``!`` and eight hex digits."""
    return _NODE.match(conversation) is not None


def malformed(conversation: str) -> str:
    """Return why a conversation can be none of any radio's; empty if it can."""
    if node_number(conversation) in (0, BROADCAST):
        return f"{conversation} is no node"
    return ""


def node_id(number: int) -> str:
    """Return a node's number as the apps write it: ``!a1b2c301``."""
    return f"!{number:08x}"


def node_number(conversation: str) -> int | None:
    """Read what `node_id` wrote; None for anything else."""
    found = _NODE.match(conversation)
    return int(found[1], 16) if found else None


def find(conversation: str, channels: Mapping[int, Channel]) -> Place:
    """Return where a conversation is; NotThere, with a reason for the operator, if our node has none such."""
    number = node_number(conversation)
    if number in (0, BROADCAST):
        raise NotThere(f"{conversation} is no node")
    if number is not None:
        return Place(channel=0, node=number)
    index = _INDEX.match(conversation)
    if index:
        if int(index[1]) in channels:
            return Place(channel=int(index[1]))
        raise NotThere(f"the radio has no channel {conversation}; it has {_listed(channels.values())}")
    named = [channel.index for channel in channels.values() if channel.name == conversation]
    if len(named) > 1:
        spellings = " or ".join(f"#{each}" for each in named)
        raise NotThere(f"the radio has {len(named)} channels named {conversation}: write {spellings}")
    if not named:
        raise NotThere(f"the radio has no channel {conversation}; it has {_listed(channels.values())}")
    return Place(channel=named[0])


def spelling(index: int, channels: Mapping[int, Channel], routed: Iterable[str]) -> str:
    """Return how to name a channel: as the configuration's routes do, else by its name, else ``#1``."""
    by_index = f"#{index}"
    channel = channels.get(index)
    if channel is None:
        return by_index
    is_unique = sum(each.name == channel.name for each in channels.values()) == 1
    for name in routed:
        if name == by_index or (is_unique and name == channel.name):
            return name
    return channel.name if is_unique else by_index


def room_for(content: Content, to: Address, is_reply: bool) -> int:
    """Return how many UTF-8 bytes one packet holds: measured on firmware 2.7 and 2.8."""
    taken = PKI_BYTES if is_direct(to.conversation) else 0
    if isinstance(content, Reaction):
        return ROOM_REACTION_BYTES - taken
    return (ROOM_REPLY_BYTES if is_reply else ROOM_BYTES) - taken


def capabilities(
    max_parts: int, correct_within_s: float = 300.0, shorten: Callable[[str], str] = as_said
) -> Capabilities:
    """Return what a radio can carry."""
    return Capabilities(
        shorten=shorten,
        room_for=room_for,
        names=Support.TEXT,
        replies=Support.NATIVE,
        reactions=Support.NATIVE,
        edits=Support.TEXT,
        correct_within_s=correct_within_s,
        redactions=Support.DROP,
        max_parts=max_parts,
        max_name_bytes=12,
        in_flight=1,
        awaiting=128,  # at a text in 2 s, those of 4 min: longer than any verdict takes that such a channel carries
        reconnect_within_s=3.0,
    )


def _listed(channels: Iterable[Channel]) -> str:
    return ", ".join(f"#{each.index} {each.name}" for each in channels) or "none"
