# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API takes and answers about dead letters."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.api.schemas import Asked, ChangeOut, Said
from gateway.redrive import MOST_PER_MINUTE, PER_MINUTE

MAX_REASON = 200
"""Characters of the words that a reason is searched for."""


class DeadLetterOut(Said):
    """A delivery that failed for good, until someone sends it again."""

    id: str
    message: str
    seq: int
    to: str
    part: int
    parts: int
    reason: str
    failed_ms: int
    sender: str
    origin: str
    text: str


class DeadLetterPage(Said):
    """Dead letters, those whose messages were accepted last first."""

    dead_letters: list[DeadLetterOut]
    next_before: int | None = Field(description="Give it as `before` for the next page; null: this is all")


class DeadLetterWithHistory(DeadLetterOut):
    """A dead letter with every state it was in."""

    history: list[ChangeOut]


class CostOut(Said):
    """What one destination would be sent."""

    destination: str
    letters: int
    deliveries: int = Field(description="With the later parts of messages that failing parts held back")
    unfit: int = Field(description="Letters that can't be sent: they don't fit, or their bridge is gone")
    airtime_s: float | None = Field(description="Of our own transmitter alone; null: it has no airtime to run out of")
    basis: str = Field(description="By which radio settings the airtime is reckoned")


class PriceOut(Said):
    """What sending dead letters again would cost."""

    total: int = Field(description="Letters")
    complete: bool = Field(description="False: it is at least that")
    destinations: list[CostOut]


class RedriveOut(Said):
    """How far sending many dead letters again is."""

    running: bool
    began_ms: int
    ended_ms: int | None
    per_minute: int
    total: int
    sent: int
    left: int = Field(description="Letters that could not be sent again")
    held: str = Field(description="Why it is not going on just now, or why it ended early; empty if it is well")


class LettersIn(Asked):
    """Which dead letters: those for which all of this is so."""

    ids: list[Annotated[str, Field(min_length=1, max_length=64)]] = Field(
        default_factory=list, max_length=500, description="Among these; empty: any"
    )
    destination: str | None = None
    reason: str = Field("", max_length=MAX_REASON, description="Words in their reason")


class RedriveIn(LettersIn):
    """Which dead letters to send again, and how fast."""

    per_minute: int = Field(PER_MINUTE, ge=1, le=MOST_PER_MINUTE)


class DroppedOut(Said):
    """Dead letters that were forgotten."""

    ids: list[str]
    more: bool = Field(description="There are more of them: ask again")
