# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tapbacks of ours stand: people in a room share our node on the mesh, and one emoji says it for all. Pure."""

from __future__ import annotations

from collections import OrderedDict

from gateway.model import Address, Message, MessageId, Reaction

MOST_TAPBACKS = 500
_SELECTOR = "\ufe0f"


class Tapbacks:
    """The last `MOST_TAPBACKS` that were sent; one that is forgotten is sent once more."""

    def __init__(self) -> None:
        self._sent: OrderedDict[tuple[Address, str, str], MessageId] = OrderedDict()
        """By what they are: whose."""

    def stands(self, message: Message, to: Address) -> bool:
        """Whether another's same emoji is at the same message already, so that sending it shows nothing new."""
        key = _key(message, to)
        # Its own may be sent once more: what was accepted can be refused later.
        return key is not None and self._sent.get(key, message.id) != message.id

    def sent(self, message: Message, to: Address) -> None:
        """Note that it was sent."""
        key = _key(message, to)
        if key is None:
            return
        self._sent[key] = message.id
        self._sent.move_to_end(key)
        if len(self._sent) > MOST_TAPBACKS:
            self._sent.popitem(last=False)


def _key(message: Message, to: Address) -> tuple[Address, str, str] | None:
    said = message.content
    return (to, said.target, said.emoji.replace(_SELECTOR, "")) if isinstance(said, Reaction) else None
