# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers to commands as events. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Any

from bridges.matrix.content import notice
from bridges.matrix.management.command import PREFIX, Command
from bridges.matrix.plain import clean, cut
from gateway.model import short_hash

MAX_PUBLIC_LINES = 8
MAX_PUBLIC_BYTES = 800
"""In a room with others an answer is short: it is everybody's scroll."""
MAX_LINES = 120
MAX_BYTES = 12_000
ELSEWHERE = f"(… more in a direct chat with me: say {PREFIX} there)"

_COLUMNS = re.compile(r"\S {2,}\S")


def answer_key(command: Command, bridge: str) -> str:
    """Return the transaction id of the answer: the same for the same command, whenever it is answered."""
    return f"answer.{short_hash('answer', bridge, command.event_id)}"


def answer_content(words: str, command: Command, *, is_private: bool, secrets: Iterable[str] = ()) -> dict[str, Any]:
    """Return the notice that answers a command, in its thread if it was given in one.

    `secrets` never stand in it, whoever put them there.
    """
    for secret in filter(None, secrets):
        words = words.replace(secret, "…")
    body = _shortened(clean(words).strip() or "Done.", is_private=is_private)
    content = notice(body) | {"m.relates_to": _relation(command)}
    if _COLUMNS.search(body):
        shown = f"<pre><code>{html.escape(body)}</code></pre>"
        content |= {"format": "org.matrix.custom.html", "formatted_body": shown}
    return content


def _shortened(body: str, *, is_private: bool) -> str:
    max_lines, max_bytes = (MAX_LINES, MAX_BYTES) if is_private else (MAX_PUBLIC_LINES, MAX_PUBLIC_BYTES)
    lines = body.split("\n")
    short = cut("\n".join(lines[:max_lines]), max_bytes)
    if short == body:
        return body
    return f"{short.rstrip()}\n" + ("(… and more than fits here)" if is_private else ELSEWHERE)


def _relation(command: Command) -> dict[str, Any]:
    answers = {"m.in_reply_to": {"event_id": command.event_id}}
    if command.thread is None:
        return answers
    return answers | {"rel_type": "m.thread", "event_id": command.thread, "is_falling_back": True}
