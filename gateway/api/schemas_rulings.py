# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API answers about who may what."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.api.schemas import Asked, Said


class RulingOut(Said):
    """Who, and what they may."""

    pattern: str = Field(description="An id, or a pattern")
    level: str = Field(description="none, read, transmit, commands or admin")
    source: Literal["file", "chat"]
    by: str | None = Field(description="Who decided it in a chat; null: the file")
    at_ms: int | None = Field(description="When that was; null: the file")
    overruled: bool = Field(description="Another rule decides in its place")


class MuteOut(Said):
    """Somebody whose messages are not carried."""

    sender: str
    by: str
    at_ms: int
    for_s: int | None = Field(description="For how long it was to be; null: until it is taken back")
    left_s: float | None = Field(description="For how long it still is")
    ban: bool = Field(description="Only admins take it back")
    box: str = Field(description="Which other box decided it; empty: this one")


class ApprovalOut(Said):
    """Somebody who asks to be heard on radio."""

    sender: str
    since_ms: int | None = Field(description="When they asked; null: that was not noted")


class SlowOut(Said):
    """How slow a room is, as was decided."""

    room: str
    every_s: int = Field(description="In so many seconds each person says one line; 0: as they like")
    by: str
    at_ms: int
    box: str = Field(description="Which other box decided it; empty: this one")


class DeedOut(Said):
    """Something that was decided."""

    number: int
    what: str = Field(description="allow, approve, ban, forget, mute, refuse, retention, silence, slow, un...")
    about: str = Field(description="An id, a pattern or an address")
    detail: str = Field(description="How much, how long")
    by: str
    at_ms: int
    where: str = Field(description="The conversation; command line, API or file")
    why: str


class AuditPage(Said):
    """Who decided what, the latest first."""

    audit: list[DeedOut]
    next_before: int | None = Field(description="Go on before this; null: that was all")


class CommandIn(Asked):
    """A command of moderation."""

    command: str = Field(min_length=1, max_length=1000)


class CommandOut(Said):
    """What came of it."""

    answer: str
