# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody at the page may write at all, whoever they are. Pure."""

from __future__ import annotations

from bridges.lan.contents import MOST_EMOJI_BYTES
from bridges.lan.hall import Refusal
from gateway.model import phrase

MOST_LINE_BYTES = 4096
MOST_LINES = 200
"""Asked for at once."""


def why_no_line(words: str) -> Refusal | None:
    """Return why this can be no line; None if it can."""
    if words and size(words) <= MOST_LINE_BYTES:
        return None
    return Refusal(reason=phrase("a line has 1 to %(num)d bytes", num=MOST_LINE_BYTES))


def why_no_emoji(emoji: str) -> Refusal | None:
    """Return why nobody can react with this; None if they can."""
    if len(emoji.split()) == 1 and size(emoji) <= MOST_EMOJI_BYTES:
        return None
    return Refusal(reason=phrase("that is no emoji"))


def within(limit: int) -> int:
    """Return how many lines somebody gets who asks for so many."""
    return max(1, min(limit, MOST_LINES))


def size(words: str) -> int:
    """Return the UTF-8 bytes of words, whatever is in them."""
    return len(words.encode("utf-8", "replace"))
