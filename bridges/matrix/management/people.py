# SPDX-License-Identifier: GPL-3.0-or-later
"""Which addresses are one person, not a conversation of many. Pure."""

from __future__ import annotations

from gateway.model import Address

_PERSONAL = ("!", "~")
"""How the design spells direct chats: a radio node's id, and a page user's ``~nick@box``."""


def is_person(there: Address, home: str) -> bool:
    """Whether an address on another network than `home` is a direct chat with one person."""
    return there.bridge != home and there.conversation.startswith(_PERSONAL)


def is_user(conversation: str) -> bool:
    """Whether a conversation of ours is a Matrix user, whose direct chat is to be found or made."""
    return conversation.startswith("@")
