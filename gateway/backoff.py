# SPDX-License-Identifier: GPL-3.0-or-later
"""When to try again: pure, with the randomness as an argument."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.model import BridgeError, LinkDown, NotThere, PermanentError, RateLimited, TransientError

LONGEST_WAIT_S = 900.0
"""However long a network asks us to wait, we look again after this."""


def delays(random: random.Random, *, first_s: float, longest_s: float) -> Iterator[float]:
    """Yield pauses that double up to `longest_s`, each between half and the whole of its step."""
    step = first_s
    while True:
        yield min(step, longest_s) * random.uniform(0.5, 1.0)
        step = min(step * 2, longest_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class TryAgain:
    """Try again after this pause. `counted`: it used up an attempt."""

    after_s: float
    counted: bool
    fresh_key: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """Make it a dead letter, for this reason."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How patient one destination is with one delivery."""

    first_s: float = 1.0
    longest_s: float = 300.0
    attempts: int = 20
    """Counted attempts; a network that is down or asks for patience uses up none."""
    there_again_s: float = 15.0
    """How often a missing conversation is looked for."""

    def after(self, error: BridgeError, *, attempt: int, random: random.Random) -> TryAgain | GiveUp:
        """Decide what follows the failure of this attempt (1 for the first)."""
        if isinstance(error, PermanentError):
            return GiveUp(reason=str(error))
        if not isinstance(error, TransientError):
            return GiveUp(reason=f"the network answered nonsense: {error}")
        if isinstance(error, NotThere):
            return TryAgain(after_s=self.there_again_s * random.uniform(0.5, 1.0), counted=False)
        step = min(self.longest_s, self.first_s * 2 ** min(attempt - 1, 30)) * random.uniform(0.5, 1.0)
        wait_s = min(LONGEST_WAIT_S, max(step, error.retry_after_s or 0.0))
        if isinstance(error, LinkDown | RateLimited):
            return TryAgain(after_s=wait_s, counted=False, fresh_key=error.fresh_key)
        if attempt >= self.attempts:
            return GiveUp(reason=f"{error} (after {attempt} attempts)")
        return TryAgain(after_s=wait_s, counted=True, fresh_key=error.fresh_key)
