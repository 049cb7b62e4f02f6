# SPDX-License-Identifier: GPL-3.0-or-later
"""Ages: in columns, and in words. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable

AGE_LIMITS_S = (60, 600, 3600, 6 * 3600, 86400)
AGE_NAMES = ("<1m", "<10m", "<1h", "<6h", "<1d", "older")
"""The columns of a backlog: the first `AGE_LIMITS_S` bound each from above."""


def by_age(received_ms: Iterable[int], now_ms: int) -> tuple[int, ...]:
    """Count ages into the columns of `AGE_NAMES`; an age that is a limit exactly belongs to the older one."""
    counts = Counter(bisect_right(AGE_LIMITS_S, max(0, now_ms - received) / 1000) for received in received_ms)
    return tuple(counts[column] for column in range(len(AGE_NAMES)))


def in_words(seconds: float) -> str:
    """Write an age as people say it: ``42 s``, ``17 min``, ``3 h 5 min``, ``2 d 4 h``."""
    total = max(0, round(seconds))
    if total < 60:  # noqa: PLR2004 - a minute
        return f"{total} s"
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if not hours:
        return f"{minutes} min"
    return f"{days} d {hours % 24} h" if days else f"{hours} h {minutes % 60} min"
