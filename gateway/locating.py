# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks somebody out there where they are, for somebody in a chat."""

from __future__ import annotations

from gateway.model import Address, BridgeError, Declined, Directory, Locates, SenderId


async def where_is(there: Address, bridge: object) -> str:
    """Return where the other end of a direct chat is, in words, once it has answered; this may take a minute.

    It goes over the air: who may ask for it is the caller's to know. Declined, with the reason for the asker.
    """
    if not isinstance(bridge, Locates):
        raise Declined(f"nobody on {there.bridge} can be asked where they are")
    node = SenderId(there.conversation)
    try:
        place = await bridge.locate(node)
    except BridgeError as error:
        raise Declined(f"{there} can't be asked now: {error}") from error
    except Declined as declined:
        raise Declined(f"{there}: {declined}") from declined
    return f"{_name(node, bridge)}: {place}"


def _name(node: SenderId, bridge: object) -> str:
    nodes = bridge.nodes() if isinstance(bridge, Directory) else ()
    return next((known.name for known in nodes if known.id == node), node)
