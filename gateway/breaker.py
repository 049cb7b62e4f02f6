# SPDX-License-Identifier: GPL-3.0-or-later
"""One circuit breaker per bridge: whether anything is sent there now. Pure: time and randomness are arguments.

Closed: messages are sent. Open: the network is down, or asked for patience as a whole, and nothing is
sent until the pause is over. Half-open: one message, the probe, finds out whether it is back.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from gateway.ages import in_words
from gateway.backoff import LONGEST_WAIT_S, delays
from gateway.model import AuthFailed, BridgeError, DeliveryId, LinkDown, RateLimited, TransientError, Unconfirmed

FIRST_PAUSE_S = 0.5
SUSPECTS = 3
"""So many different conversations in a row without an answer: it isn't any one of them."""


class BreakerState(StrEnum):
    """Whether a destination is sent to."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A breaker at one moment, for people."""

    state: BreakerState
    reason: str
    """Why it isn't closed; empty when it is."""
    for_s: float
    """How long it has been closed, or not."""
    probe_in_s: float | None
    """When the next message may find out; None: one is doing so now, or there is no need."""

    @property
    def holds_back(self) -> bool:
        """Whether a message would not simply be sent now."""
        return self.state is not BreakerState.CLOSED and self.probe_in_s != 0

    @property
    def words(self) -> str:
        """The same for people; empty while nothing is held back."""
        if self.state is BreakerState.CLOSED:
            return ""
        if self.probe_in_s == 0:
            return f"sending was held back, the next message finds out: {self.reason}"
        then = "trying now" if self.probe_in_s is None else f"next try in {in_words(self.probe_in_s)}"
        return f"sending is held back: {self.reason}; {then}"


class Breaker:
    """What the sends to one destination say of its network, and what follows for the next one."""

    def __init__(self, random: random.Random, *, longest_s: float, now: float) -> None:
        """`longest_s`: of our own pauses. The network's own wish may be longer, up to an hour."""
        self.opened = 0
        """How often it opened."""
        self._random = random
        self._longest_s = longest_s
        self._pauses = self._new_pauses()
        self._since = now
        self._until: float | None = None
        self._is_asked = False
        self.reason = ""
        """Why it isn't closed; empty when it is."""
        self._probe: DeliveryId | None = None
        self._unanswered: set[str] = set()

    def look(self, now: float) -> Look:
        """Return how it is at this moment."""
        state, probe_in_s = BreakerState.CLOSED, None
        if self._until is not None:
            state = BreakerState.OPEN if now < self._until else BreakerState.HALF_OPEN
            probe_in_s = None if self._probe else max(0.0, self._until - now)
        return Look(state=state, reason=self.reason, for_s=now - self._since, probe_in_s=probe_in_s)

    @property
    def is_closed(self) -> bool:
        """Whether nothing is known against this network."""
        return self._until is None

    def wait_s(self, now: float) -> float | None:
        """Return how long nothing may be sent; 0: send. None: until the probe that is out has its answer."""
        if self._until is None:
            return 0.0
        return max(0.0, self._until - now) if self._probe is None else None

    def admit(self, id: DeliveryId, now: float) -> bool:
        """Tell whether this may be sent now. After a pause only the first may: it is the probe."""
        if self._until is None:
            return True
        if self._probe is not None or now < self._until:
            return False
        self._probe = id
        return True

    def answered(self, id: DeliveryId, now: float) -> None:
        """Note that the network took this, or refused this alone: it is there."""
        self._answer(was_probe=self._release(id), now=now)

    def failed(self, id: DeliveryId, conversation: str, error: BridgeError, now: float) -> bool:
        """Note what went wrong; return whether it is the network's fault, and costs the message nothing."""
        was_probe = self._release(id)
        if not self._is_of_the_network(conversation, error):
            if not isinstance(error, Unconfirmed):
                self._answer(was_probe=was_probe, now=now)
            return False
        wish_s = error.retry_after_s if isinstance(error, TransientError) else None
        if self._until is None or was_probe:
            self._open(error, wish_s, now)
        elif wish_s:
            self._until = max(self._until, now + min(wish_s, LONGEST_WAIT_S))
            self._is_asked = True
        return True

    def release(self, id: DeliveryId) -> None:
        """Note that nothing was heard of this one, nor will be: another may be the probe."""
        self._release(id)

    def release_all(self) -> None:
        """Note that nothing is on its way any more."""
        self._probe = None

    def link_is_up(self, now: float) -> None:
        """Close, for the connection was made anew; but what the network asked for holds."""
        self._unanswered.clear()
        if self._until is not None and not self._is_asked:
            self._close(now)

    def _is_of_the_network(self, conversation: str, error: BridgeError) -> bool:
        if isinstance(error, LinkDown | AuthFailed):
            return True
        if isinstance(error, RateLimited):
            return error.for_all
        if not isinstance(error, Unconfirmed):
            return False
        if self._until is None:
            self._unanswered.add(conversation)
        return self._until is not None or len(self._unanswered) >= SUSPECTS

    def _answer(self, *, was_probe: bool, now: float) -> None:
        self._unanswered.clear()
        if self._until is not None and (was_probe or not self._is_asked):
            self._close(now)

    def _open(self, error: BridgeError, wish_s: float | None, now: float) -> None:
        pause_s = min(wish_s, LONGEST_WAIT_S) if wish_s else next(self._pauses)
        if self._until is None:
            self._since = now
            self.opened += 1
        self._until = now + pause_s
        self._is_asked = bool(wish_s)
        self.reason = str(error)
        if isinstance(error, Unconfirmed) and len(self._unanswered) >= SUSPECTS:
            self.reason = f"{len(self._unanswered)} conversations in a row without an answer: {error}"

    def _close(self, now: float) -> None:
        self._until, self._probe, self._is_asked, self.reason = None, None, False, ""
        self._since = now
        self._pauses = self._new_pauses()

    def _release(self, id: DeliveryId) -> bool:
        was_probe = self._probe == id
        if was_probe:
            self._probe = None
        return was_probe

    def _new_pauses(self) -> Iterator[float]:
        return delays(self._random, first_s=FIRST_PAUSE_S, longest_s=self._longest_s)
