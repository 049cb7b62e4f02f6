# SPDX-License-Identifier: GPL-3.0-or-later
"""Ages: in columns, and in words. Pure."""

from __future__ import annotations

AGE_LIMITS_S = (60, 300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 86400)
AGE_NAMES = ("<1m", "<5m", "<10m", "<20m", "<40m", "<80m", "<160m", "<320m", "<640m", "<1d", ">1d")
"""The columns of a backlog: each but the last is bounded from above by one of `AGE_LIMITS_S`."""


def limits_ms(now_ms: int) -> tuple[int, ...]:
    """Return when that was which is as old as each limit; what is a limit's age exactly belongs to the older column."""
    return tuple(now_ms - limit * 1000 for limit in AGE_LIMITS_S)


def in_words(seconds: float) -> str:
    """Write an age as people say it: ``42 s``, ``17 min``, ``3 h 5 min``, ``2 d 4 h``."""
    total = max(0, round(seconds))
    if total < 60:  # noqa: PLR2004 - a minute
        return f"{total} s"
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if not hours:
        return f"{minutes} min"
    return f"{days} d {hours % 24} h" if days else f"{hours} h {minutes % 60} min"


def lasted(ms: int) -> str:
    """Write how long that was; under ten seconds to the millisecond."""
    return f"{max(0, ms) / 1000:.3f} s" if ms < 10_000 else in_words(ms / 1000)  # noqa: PLR2004 - ten seconds
