# SPDX-License-Identifier: GPL-3.0-or-later
"""Short honest words for what no radio carries: files, voice, stickers, polls. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridges.matrix.plain import clean, one_line
from bridges.matrix.wire import mapping, sequence, text

FILES = {"m.image": "image", "m.video": "video", "m.audio": "audio", "m.file": "file"}
VOICE_KEY = "org.matrix.msc3245.voice"
POLLS = {"m.poll.start": "m.poll", "org.matrix.msc3381.poll.start": "org.matrix.msc3381.poll.start"}
"""Types of events that begin a poll (MSC3381), and where it is in their content."""
POLL_ENDS = frozenset({"m.poll.end", "org.matrix.msc3381.poll.end"})
MAX_ANSWERS = 20
"""MSC3381: what is beyond is no answer."""
MAX_QUESTION_BYTES = 340
MAX_ANSWER_BYTES = 120

_UNITS = ((1_000_000, 1, "MB"), (1_000, 0, "kB"))
_LONGEST_MS = 24 * 3_600_000
_MINUTE_S = 60


def file_words(kind: str, content: Mapping[str, Any], body: str) -> str:
    """Return a file's kind, size or length, name and caption: ``[image 1.2 MB] cat.png``.

    `body`: the event's, plain. A voice message has no name: clients make one up.
    """
    info = mapping(content.get("info"))
    if VOICE_KEY in content:
        return f"[{' '.join(filter(None, ('voice message', _length(content, info))))}]"
    named = text(content.get("filename"))
    name = one_line(named) or one_line(body)
    caption = body if named and body != clean(named).strip() else ""  # with a file name, the body is a caption
    first = f"[{' '.join(filter(None, (kind, _size(info.get('size')))))}]"
    return "\n".join(filter(None, (f"{first} {name}".strip(), caption)))


def sticker_words(body: str) -> str:
    """Return what a sticker shows, in its own words; its size is nothing anybody asks for."""
    return f"[sticker] {one_line(body)}".strip()


def poll_words(type_: str, content: Mapping[str, Any]) -> str:
    """Return a poll's question and answers on one line: ``[poll] When? 1) today 2) never``; empty if it has none."""
    poll = mapping(content.get(POLLS[type_]))
    question = one_line(_said(poll.get("question")), MAX_QUESTION_BYTES)
    if not question:
        return ""
    answers = [one_line(_said(answer), MAX_ANSWER_BYTES) for answer in sequence(poll.get("answers"))[:MAX_ANSWERS]]
    return " ".join([f"[poll] {question}", *(f"{number}) {answer}" for number, answer in enumerate(answers, 1))])


def poll_end_words(content: Mapping[str, Any]) -> str:
    """Return that a poll is over, with what its client says of the outcome."""
    return f"[poll closed] {one_line(_said(content), MAX_QUESTION_BYTES)}".strip()


def _said(block: object) -> str:
    """Return the plain text of an extensible event's block, in its present and earlier shape (MSC1767)."""
    holder = mapping(block)
    now = holder.get("m.text")
    parts = [text(mapping(part).get("body")) for part in sequence(now)]
    earlier = text(now) or text(holder.get("org.matrix.msc1767.text")) or text(holder.get("body"))
    return next(filter(None, parts), earlier)


def _length(content: Mapping[str, Any], info: Mapping[str, Any]) -> str:
    audio = mapping(content.get("org.matrix.msc1767.audio"))
    for duration in (info.get("duration"), audio.get("duration")):
        if isinstance(duration, int) and not isinstance(duration, bool) and 0 < duration <= _LONGEST_MS:
            minutes, seconds = divmod(max(round(duration / 1000), 1), _MINUTE_S)
            return f"{minutes}:{seconds:02}"
    return ""


def _size(value: object) -> str:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**50:
        return ""
    return next((f"{value / unit:.{digits}f} {name}" for unit, digits, name in _UNITS if value >= unit), f"{value} B")
