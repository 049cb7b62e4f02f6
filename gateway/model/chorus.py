# SPDX-License-Identifier: GPL-3.0-or-later
"""Several boxes at one room or one radio channel: who of them says it there, and how the others know.

A bridge whose conversations other boxes may serve too names them so that every box calls them the same
(`Commons`). The bridge between the boxes knows who is there, and what was said where (`Chorus`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from gateway.model.message import MessageId, NativeId, RemoteId


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """One part of one message, said in one conversation that several boxes may serve."""

    native_id: NativeId
    where: str
    """The conversation's common name."""
    part: int = 1
    parts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Speak:
    """Say it: it is ours to say now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Wait: another box comes first. Ask again after so long."""

    for_s: float
    reason: str
    """In words: "box valley speaks first"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """It is there already."""

    by: str
    """Which box said it, or that it was said there in the first place."""
    native_id: NativeId | None
    """What it is called there; None: that isn't known (yet)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overheard:
    """What another gateway said in a conversation, as the network shows it: `BridgeContext.overheard`."""

    key: str
    """Under which key, as it says itself: anybody may say so."""
    by: str
    """Which account said it: that the network proves."""
    remote_id: RemoteId
    words: str = field(default="", repr=False)
    """``name: text``, as a network would show it that has only our own name; empty: it is no text."""
    at_ms: int = 0
    """When, as it says itself: the same for everybody who sees it."""
    is_own: bool = False
    """Whether it is this box's own account, and nobody else's."""
    is_ours: bool = False
    """Whether that account speaks for this box, too: ghosts are shared with whoever has the registration."""
    age_s: float = 0.0
    """For how long it has been there, as far as the network tells."""


@runtime_checkable
class Commons(Protocol):
    """A bridge whose conversations other boxes may serve too."""

    def common_name(self, conversation: str) -> str | None:
        """Return what every box calls this conversation: ``mx:!room:server``, ``mt:EU_868/LongFast/LongFast/8f2c..``.

        None: it is ours alone, or that isn't known yet. No key, and nothing from which one can be guessed, is
        in it. No I/O.
        """
        ...

    def native_of(self, remote_id: RemoteId) -> NativeId | None:
        """Return what anyone else there calls what we sent, by its receipt; None: that isn't known. No I/O."""
        ...

    def remote_of(self, native_id: NativeId) -> RemoteId | None:
        """Return the remote id of what is called so there; None if nothing there is called like that. Pure."""
        ...

    @property
    def turn_s(self) -> float:
        """How long the next box waits for the one before it to be heard: radio 20 to 30 s, Matrix 2 s."""
        ...


@runtime_checkable
class Chorus(Protocol):
    """The bridge between boxes, as far as the core asks it before it says something elsewhere."""

    def serve(self, common_names: frozenset[str]) -> None:
        """Tell the other boxes which conversations this one serves just now: its bridges are up. Does not block."""
        ...

    def turn(
        self,
        utterance: Utterance,
        *,
        waited_s: float,
        turn_s: float,
        at_home: bool = False,
        amends: MessageId | None = None,
        overheard_s: float | None = None,
    ) -> Speak | Listen | Said:
        """Say whose turn it is: rank by rendezvous hash over the boxes heard lately that serve the conversation.

        `waited_s`: how long this box has had it to say. `at_home`: it was said at this box, and no other box can
        have it but from here: this one comes first. `amends`: what it is a correction of; who said that there
        comes first. `overheard_s`: how long ago another box spoke there, as the network shows: one that isn't
        reached has its turn, too, and as long as any speaks it isn't silent. None: not lately. Does not block.
        """
        ...

    async def emitting(self, utterance: Utterance, as_native: NativeId | None) -> None:
        """Note durably, and tell the others, that we are about to say it. Raises BridgeError.

        `as_native`: what it will be called there, so that the echo that another box hears is known as what it
        is; None where the network tells that only afterwards.
        """
        ...

    async def emitted(self, utterance: Utterance, as_native: NativeId | None) -> None:
        """Note, and tell the others, that it is there. Raises BridgeError."""
        ...

    def echoed(self, as_native: NativeId) -> Utterance | None:
        """Return what another box, or this one, said under this id; None if none did. Does not block."""
        ...

    def vouches(self, as_native: NativeId) -> bool:
        """Whether a box that belongs to us now says that it, or another, said something under this id."""
        ...

    def called(self, native_id: NativeId) -> Collection[NativeId]:
        """Return under which ids this message was said by boxes, anywhere. Does not block."""
        ...

    def is_speaking(self, where: str) -> bool:
        """Whether another box is saying something there just now whose id there isn't known yet. Does not block."""
        ...
