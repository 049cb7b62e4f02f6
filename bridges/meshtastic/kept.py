# SPDX-License-Identifier: GPL-3.0-or-later
"""What was on the air, kept across restarts of the gateway: a restart must not be a way around the law.

One small file, replaced as a whole. Its times are ages: a wall clock that was set since can make them look younger,
never older than they are by the clock, so that what was used is rather counted too long than forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from gateway.model import NEVER_SET_MS, files

VERSION = 1
FILE = "airtime.json"
_MOST = 64
"""Minutes in a file, and a few: what is longer is not ours."""


def to_text(minutes: Sequence[tuple[int, int]], now_ms: int) -> str:
    """Return what is kept of a ledger's `minutes`."""
    return json.dumps({"version": VERSION, "at_ms": now_ms, "spent": minutes}, separators=(",", ":"))


def from_text(text: str, now_ms: int) -> list[tuple[float, int]]:
    """Return (seconds ago, ms) as of now; ValueError if it is nothing that `to_text` wrote."""
    kept = json.loads(text)
    if not isinstance(kept, dict) or kept.get("version") != VERSION:
        msg = "not a ledger of airtime"
        raise ValueError(msg)
    at_ms, spent = kept.get("at_ms"), kept.get("spent")
    if not isinstance(at_ms, int) or not isinstance(spent, list) or len(spent) > _MOST:
        msg = "not a ledger of airtime"
        raise ValueError(msg)
    since_s = _since_s(at_ms, now_ms)
    return [(since_s + ago_s, ms) for ago_s, ms in map(_pair, spent)]


def write(file: Path, text: str) -> None:
    """Replace the file: the whole of it or nothing, also when the power fails. OSError if it can't."""
    files.replace(file, f"{text}\n")


def tidy(file: Path) -> None:
    """Remove what writes that a power cut ended have left; only while nobody writes. OSError if it can't."""
    for draft in file.parent.glob(f".{file.name}.*"):
        draft.unlink(missing_ok=True)


def _since_s(at_ms: int, now_ms: int) -> float:
    # A clock that was set for the first time in between tells nothing of how long it was.
    is_comparable = at_ms <= now_ms and (at_ms >= NEVER_SET_MS or now_ms < NEVER_SET_MS)
    return (now_ms - at_ms) / 1000 if is_comparable else 0.0


def _pair(value: object) -> tuple[int, int]:
    match value:
        case [int(ago_s), int(ms)] if ago_s >= 0 and ms >= 0:
            return ago_s, ms
        case _:
            msg = "not an age and an airtime"
            raise ValueError(msg)
