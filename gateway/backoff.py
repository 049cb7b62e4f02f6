# SPDX-License-Identifier: GPL-3.0-or-later
"""When to try again: pure, with the randomness as an argument."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.model import (
    AuthFailed,
    BridgeError,
    LinkDown,
    NotThere,
    PermanentError,
    RateLimited,
    TransientError,
    Unconfirmed,
)

LONGEST_WAIT_S = 3600.0
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
    """How soon a missing conversation is looked for again, the first time; each time it isn't there doubles that."""
    there_longest_s: float = 300.0
    probed_again_s: float = 30.0
    """How long one that got no answer while the network is down makes way: the next probe is another's."""

    def after(
        self, error: BridgeError, *, attempt: int, random: random.Random, is_down: bool = False, absent: int = 0
    ) -> TryAgain | GiveUp:
        """Decide what follows the failure of this attempt (1 for the first).

        `is_down`: it is the network's fault, not the message's, and costs no attempt. `absent`: how often in a row
        the conversation wasn't there before this.
        """
        if isinstance(error, AuthFailed | NotThere):
            # People mend it, of the bridge or of the conversation; the message is as good as before.
            fresh_key = isinstance(error, NotThere) and error.fresh_key
            step = min(self.there_longest_s, self.there_again_s * 2 ** min(absent, 30)) * random.uniform(0.5, 1.0)
            return TryAgain(after_s=step, counted=False, fresh_key=fresh_key)
        if isinstance(error, PermanentError):
            return GiveUp(reason=str(error))
        if not isinstance(error, TransientError):
            return GiveUp(reason=f"the network answered nonsense: {error}")
        step = min(self.longest_s, self.first_s * 2 ** min(attempt - 1, 30)) * random.uniform(0.5, 1.0)
        if is_down and isinstance(error, Unconfirmed):
            step = self.probed_again_s * random.uniform(0.5, 1.0)
        wait_s = min(LONGEST_WAIT_S, max(step, error.retry_after_s or 0.0))
        if is_down or isinstance(error, LinkDown | RateLimited):
            return TryAgain(after_s=wait_s, counted=False, fresh_key=error.fresh_key)
        if attempt >= self.attempts:
            return GiveUp(reason=f"{error} (after {attempt} attempts)")
        return TryAgain(after_s=wait_s, counted=True, fresh_key=error.fresh_key)
