# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong with keys, told apart by what helps. None of these leaves this package."""

from __future__ import annotations


class KeysUnreadable(Exception):
    """The keys are there and can't be used any more: damaged, or without the key they are locked with."""


class StoreFailed(Exception):
    """The keys can't be written or read now (disk full, locked); nothing is wrong with them."""


class KeyExpired(Exception):
    """The room's key has come to its end since it was looked at: give a new one."""


class Shut(Exception):
    """An event that can't be decrypted yet. `unknown_device`: asking for the sender's devices may help."""

    def __init__(self, reason: str, *, unknown_device: bool = False) -> None:
        super().__init__(reason)
        self.unknown_device = unknown_device


class Bogus(Exception):
    """An event that never will count: replayed, or not what its envelope says."""
