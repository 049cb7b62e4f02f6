# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateway shows people of what others said: one line, and nothing that steers where it is shown. Pure."""

from __future__ import annotations

from typing import assert_never

from gateway.model import Content, Edit, Reaction, Redaction, Text


def words_of(content: Content) -> str:
    """Return what a content says, as a line for people; empty for a redaction."""
    match content:
        case Text() | Edit():
            return content.body
        case Reaction():
            return content.emoji
        case Redaction():
            return ""
        case _:
            assert_never(content)


def shown(text: object, most: int = 60) -> str:
    """Return a text as one line of at most so many characters that can't steer a terminal or a chat."""
    line = "".join(char if char.isprintable() else " " for char in " ".join(str(text).split()))
    return line if len(line) <= most else f"{line[: most - 1]}…"
