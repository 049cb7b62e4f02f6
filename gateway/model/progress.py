# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a message, for showing it where it was said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gateway.model.delivery import State
from gateway.model.message import Address, MessageId, RemoteId


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """What became of a message on its way to one address, all its parts together."""

    to: Address
    state: State
    """That of the part that got least far; `failed` or `expired` if any part did."""
    reason: str = ""
    """In words: why it is in this state; of one that must still leave, what keeps it."""
    direct: bool = False
    """To one person: its end is `delivered` or `failed`, not `sent`."""
    cut: bool = False
    """Its bridge isn't connected just now: `reason` is why, in words for whoever runs the box."""

    @property
    def is_with_network(self) -> bool:
        """Whether the far network's own side has it."""
        return self.state in {State.SENT, State.HEARD, State.DELIVERED}

    @property
    def is_open(self) -> bool:
        """Whether more may become of it."""
        return self.state.is_pending or (self.direct and self.state in {State.SENT, State.HEARD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What became of one message so far: all of it, so that the latest says everything."""

    message_id: MessageId
    at: Address
    """Where it was said."""
    remote_id: RemoteId
    """What it is called there."""
    seq: int
    """Grows in the order of acceptance."""
    received_ms: int
    kind: str
    """Its content's: ``text``, ``reaction``, ``edit``, ``redaction``."""
    legs: tuple[Leg, ...]
    """One per address; none that was cancelled."""
    late: tuple[Leg, ...] = ()
    """Of an edit or a redaction: where it came too late for what was sent, and stands cancelled."""
    stopped: tuple[Leg, ...] = ()
    """Where this box doesn't say it, and why: by permission, a mute, radio silence, an operator's word.

    Where another box said it instead, its state is `sent`.
    """
    about: RemoteId | None = None
    """Of what isn't a text: the message it is about, as that is called where it was said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """What a bridge wants to be told of progress."""

    waiting_after_s: float | None = None
    """Tell of a message that isn't through so long after it was received; None: never of such."""
    stopped: bool = False
    """Tell, as soon as it is accepted, of a message that doesn't go everywhere its route names."""


@runtime_checkable
class Reflects(Protocol):
    """A bridge that shows people, where they said something, what becomes of it."""

    @property
    def showing(self) -> Showing | None:
        """What it wants to be told, the same for good; None: nothing."""
        ...

    async def reflect(self, news: Sequence[Progress]) -> None:
        """Show how messages of one conversation stand, in the order of `seq`.

        The same may be told again; it must not show twice. Raises BridgeError only. After a
        TransientError the news, or newer, is told again; nothing waits for it.
        """
        ...
