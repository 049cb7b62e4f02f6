# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API answers about who may what."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.api.schemas import Said


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
