# SPDX-License-Identifier: GPL-3.0-or-later
"""What the outage log holds."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum


class OutageKind(StrEnum):
    """What can be away."""

    BRIDGE = "bridge"
    QUEUE = "queue"
    JOURNAL = "journal"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Became:
    """What became of the deliveries that had to wait for something: how many each."""

    late: int = 0
    """Sent when it was back."""
    folded: int = 0
    expired: int = 0
    cancelled: int = 0
    failed: int = 0
    waiting: int = 0
    """They still do."""

    def __add__(self, other: Became) -> Became:
        return Became(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)})

    @property
    def buffered(self) -> int:
        """How many had to wait."""
        return self.late + self.folded + self.expired + self.cancelled + self.failed + self.waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """Something was away, or is. Sequences are those of messages."""

    no: int
    kind: OutageKind
    name: str
    """The bridge's; empty for what there is one of."""
    began_ms: int
    began_in: int
    """In which opening of the journal."""
    ended_ms: int | None
    """None: it still is."""
    reason: str
    low: int
    """The first message that had to wait for it."""
    head: int
    """The last that was accepted when it began."""
    high: int | None
    """The last that was accepted when it ended."""
    counted_ms: int | None
    """When `became` was counted; None: not yet, or not since it ended."""
    became: Became = field(default_factory=Became)

    @property
    def is_settled(self) -> bool:
        """Whether nothing changes any more: it is over, and nothing waits for it."""
        return self.ended_ms is not None and self.counted_ms is not None and not self.became.waiting

    @property
    def lasted_s(self) -> float | None:
        """How long it lasted; None: it still does, or the clock was not right when one of the times was taken."""
        if self.ended_ms is None or self.ended_ms < self.began_ms:
            return None
        return (self.ended_ms - self.began_ms) / 1000
