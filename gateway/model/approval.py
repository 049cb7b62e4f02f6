# SPDX-License-Identifier: GPL-3.0-or-later
"""People whom a bridge itself lets in, and who of them asks to be let on the radio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gateway.model.message import SenderId


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Somebody who waits for an answer."""

    sender: SenderId
    since_ms: int | None
    """When they asked; None: a release before this one didn't note that."""


@runtime_checkable
class Moderates(Protocol):
    """A bridge whose people this box lets in itself: it holds its rooms to a pace (`BridgeContext.slow`).

    They may ask to be heard on radio. The answer is a permission: ``transmit``, or ``read``.
    """

    def asking(self) -> Sequence[Asking]:
        """Return those who asked and were neither let nor turned down, who asked first at the head. Bounded."""
        ...
