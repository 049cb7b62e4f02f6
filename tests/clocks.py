# SPDX-License-Identifier: GPL-3.0-or-later
"""Clocks that are set, for tests that have nothing scheduled."""

from __future__ import annotations

from gateway.health import SteppingClock


def followed(clock: SteppingClock) -> int:
    """Measure a step and adopt it at once; return it, in milliseconds."""
    step_ms = clock.measure()
    clock.adopt(step_ms)
    return step_ms
