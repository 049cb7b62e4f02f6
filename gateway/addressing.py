# SPDX-License-Identifier: GPL-3.0-or-later
"""Which address somebody means who names a conversation or a person in their own words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from gateway.model import Address, BridgeName, Declined, Node
from gateway.nodes import called

LONGEST: Final = 255
"""UTF-8 bytes of a conversation; as long as a Matrix room's name may be."""
MOST_NAMED: Final = 8
"""Of several that may be meant, so many are named."""


def meant(
    there: str,
    *,
    bridges: Mapping[BridgeName, Callable[[str], bool]],
    conversations: Iterable[Address],
    nodes: Iterable[tuple[BridgeName, Node]],
) -> Address:
    """Return the address that is meant: ``bridge/conversation``, or what a channel, room or node is called.

    `bridges`: every one, with whether a conversation of its is a chat with one person. A node that several
    bridges know is reached by the one that heard it last, and by a name it had before too, unless another has that
    now. Declined: nothing is called so, or several are.
    """
    there = there.strip()
    if not is_speakable(there):
        raise Declined(f"say which conversation: a name of up to {LONGEST} bytes, or bridge/conversation")
    bridge, slash, conversation = there.partition("/")
    if slash and conversation and bridge in bridges:
        return Address(BridgeName(bridge), conversation)
    known, people = tuple(conversations), _reached(nodes)
    for found in (
        _exactly(there, known, people),
        {Address(name, there) for name, is_direct in bridges.items() if is_direct(there)},
        _by_name(there, known, people),
    ):
        if len(found) > 1:
            raise Declined(f"{there} may be {_listed(found)}: write one of these")
        if found:
            return found.pop()
    raise Declined(
        f"{there} is not known here: write bridge/conversation; bridges here: {', '.join(bridges) or 'none'}"
    )


def is_speakable(conversation: str) -> bool:
    """Whether this may be a conversation's name at all."""
    return bool(conversation) and conversation.isprintable() and len(conversation.encode()) <= LONGEST


def _reached(nodes: Iterable[tuple[BridgeName, Node]]) -> list[tuple[Address, Node]]:
    """Return everybody once, at the bridge that heard them last."""
    latest: dict[str, tuple[Address, Node]] = {}
    for bridge, node in nodes:
        known = latest.get(node.id)
        if known is None or (node.last_heard_ms or 0) > (known[1].last_heard_ms or 0):
            latest[node.id] = (Address(bridge, node.id), node)
    return list(latest.values())


def _exactly(there: str, conversations: Iterable[Address], people: Iterable[tuple[Address, Node]]) -> set[Address]:
    if found := {address for address, node in people if node.id == there}:
        return found
    return {address for address in conversations if address.conversation == there}


def _by_name(there: str, conversations: Iterable[Address], people: Sequence[tuple[Address, Node]]) -> set[Address]:
    name = there.casefold()
    named = {address for address in conversations if address.conversation.casefold() == name}
    at = {node.id: address for address, node in people}
    now, before = ({at[one] for one in ids} for ids in called(there, (node for _, node in people)))
    if now and before and not named:
        # Whoever takes another's name gets nothing that was meant for them.
        raise Declined(f"{there} is {_listed(now)} now and was {_listed(before)} before: write one of these")
    return named | (now or (set() if named else before))


def _listed(found: Iterable[Address]) -> str:
    names = sorted(map(str, found))
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" or {more} more" if more > 0 else "")
