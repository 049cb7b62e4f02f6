# SPDX-License-Identifier: GPL-3.0-or-later
"""Several boxes at one room or one radio channel: who of them says it there, and how the others know.

A bridge whose conversations other boxes may serve too names them so that every box calls them the same
(`Commons`). The bridge between the boxes knows who is there, and what was said where (`Chorus`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gateway.model.message import NativeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Speak:
    """Say it: it is ours to say now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Wait: another box comes first. Ask again after so long, or when `Chorus` says that something changed."""

    for_s: float
    reason: str
    """In words: "box `valley` speaks first"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """It is there already."""

    by: str
    """Which box said it."""
    native_id: NativeId
    """What it is called there."""


@runtime_checkable
class Commons(Protocol):
    """A bridge whose conversations other boxes may serve too."""

    def common_name(self, conversation: str) -> str | None:
        """Return what every box calls this conversation: ``mx:!room:server``, ``mt:EU_868/LongFast/8f2c..``.

        None: it is ours alone, or that isn't known yet. No key, and nothing from which one can be guessed, is
        in it. No I/O.
        """
        ...

    @property
    def turn_s(self) -> float:
        """How long the next box waits for the one before it to be heard: radio 20 to 30 s, Matrix 2 s."""
        ...


@runtime_checkable
class Chorus(Protocol):
    """The bridge between boxes, as far as the core asks it before it says something elsewhere. No call blocks."""

    def serve(self, common_names: frozenset[str]) -> None:
        """Tell the other boxes which conversations this one serves just now (its bridges are up)."""
        ...

    def turn(self, native_id: NativeId, common_name: str, *, waited_s: float, turn_s: float) -> Speak | Listen | Said:
        """Say whose turn it is to say this message there: rank by rendezvous hash over the boxes heard lately."""
        ...

    async def emitting(self, native_id: NativeId, common_name: str, as_native: NativeId) -> None:
        """Note durably, and tell the others, that we are about to say it there under this id. Raises BridgeError.

        So the echo that another box hears is known there as what it is.
        """
        ...

    def emitted(self, as_native: NativeId) -> NativeId | None:
        """Return which message some box said under this id; None if none did."""
        ...
