# SPDX-License-Identifier: GPL-3.0-or-later
"""Who our own node is: keys, the number that goes with them, names. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from meshtastic.protobuf.mesh_pb2 import User

from bridges.meshtastic.node.crypto import KEY_BYTES, RESERVED_NUMBERS, KeyPair, key_pair, number_of
from bridges.meshtastic.node.greeting import user

Entropy = Callable[[int], bytes]
"""Returns so many bytes that nobody can guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A node's keys and names. A name left empty is made from the number, as the firmware does."""

    keys: KeyPair
    long_name: str = ""
    short_name: str = ""

    @property
    def number(self) -> int:
        """The node's number."""
        return number_of(self.keys.public)

    def user(self) -> User:
        """Return how it introduces itself."""
        short = f"{self.number:08x}"[-4:]
        return user(
            self.number,
            long_name=self.long_name or f"Crossband {short}",
            short_name=self.short_name or short,
            public_key=self.keys.public,
        )


def new_keys(entropy: Entropy) -> KeyPair:
    """Return new keys whose number may be a node's."""
    while number_of((keys := key_pair(entropy(KEY_BYTES))).public) in RESERVED_NUMBERS:
        pass
    return keys
