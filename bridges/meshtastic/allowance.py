# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of an hour our traffic may take, and whether one more packet fits. Pure.

Three limits, all on the hour that ends now: the share that is ours, which only emergencies may exceed; what emergencies
may take with all the rest; and the law, which counts all that our node transmits, also for others.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridges.meshtastic.ledger import WINDOW_S, Ledger
from bridges.meshtastic.regions import ALL_THE_TIME

DEFAULT_SHARE_PERCENT = 5.0
EMERGENCY_PERCENT = 25.0
"""Where the law has no limit: the share of a channel at which the mesh itself begins to hold back."""
BURST = 1 / 12
"""Of an hour's share, what may go at once before it is spread: five minutes' worth."""
PLENTY = 1 / 2
"""While no more than this part of that has gone, nobody needs to hurry or to save."""
OTHERS_S = 60.0
"""When to look again where it is the node's own traffic that leaves no room."""
UNDECIDED_S = 2.0
"""When to look again where some of it is reserved only, and soon known."""
SLACK = 0.01
"""What repeats may go over the share by, until the next packet makes up for it; first sends never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """Milliseconds of one hour."""

    share_ms: int
    emergency_ms: int
    legal_ms: int

    @classmethod
    def of(cls, legal_percent: float, share_percent: float | None) -> Allowance:
        """Return what is allowed. No share set: 5 %, or half of what the law allows if that is less."""
        share = min(DEFAULT_SHARE_PERCENT, legal_percent / 2) if share_percent is None else share_percent
        share = min(share, legal_percent)
        emergency = legal_percent if legal_percent < ALL_THE_TIME else max(share, EMERGENCY_PERCENT)
        return cls(share_ms=_ms(share), emergency_ms=_ms(emergency), legal_ms=_ms(legal_percent))

    @property
    def rate(self) -> float:
        """The share as milliseconds of airtime in each millisecond."""
        return self.share_ms / (1000 * WINDOW_S)

    @property
    def burst_ms(self) -> float:
        """What may go at once."""
        return self.share_ms * BURST


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a packet may take."""

    ms: int
    """Once."""
    tries: int
    gap_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NoRoom:
    """It doesn't fit now."""

    for_s: float
    """inf: it never will."""
    reason: str


def room(
    ledger: Ledger, allowed: Allowance, cost: Cost, *, others_ms: int, now: float, is_emergency: bool
) -> NoRoom | None:
    """Return why a packet may not go now, and for how long; None if it may."""
    limit_ms = allowed.emergency_ms if is_emergency else allowed.share_ms
    if cost.ms > limit_ms:
        words = f"it takes {_s(cost.ms)} on the air, and an hour of this radio has {_s(limit_ms)} for us"
        return NoRoom(for_s=float("inf"), reason=words)
    wait_s = _share_s(ledger, cost, limit_ms, now)
    if wait_s > 0:
        words = f"the airtime budget is used up: {_s(ledger.used_ms(now))} of {_s(limit_ms)} in the last hour"
        return NoRoom(for_s=_look_again(ledger, wait_s), reason=words)
    if cost.ms * cost.tries > allowed.legal_ms:
        words = f"repeated as often as the radio may, it takes {_s(cost.ms * cost.tries)}: more than the law allows"
        return NoRoom(for_s=float("inf"), reason=words)
    legal_s = _all_s(ledger, cost, allowed.legal_ms - others_ms, now)
    if legal_s > 0:
        words = "our node relays so much for others that the region's duty cycle leaves no more for us"
        return NoRoom(for_s=min(OTHERS_S, legal_s), reason=words)
    return None


def has_plenty(ledger: Ledger, allowed: Allowance, now: float) -> bool:
    """Tell whether little went out lately, for what may go at once."""
    return ledger.level_ms(allowed.rate, now) <= allowed.burst_ms * PLENTY


def crowded_s(ledger: Ledger, allowed: Allowance, cost_ms: int, now: float, *, part: float = 1.0) -> float:
    """Return for how long one more would be too many at once; 0 if it isn't. `part`: of what may go so."""
    return _spread_s(ledger, allowed, cost_ms, now, burst_ms=part * _burst_ms(allowed, cost_ms))


def drain_s(ledger: Ledger, allowed: Allowance, cost_ms: int, now: float, *, one_ms: int) -> float:
    """Return the seconds until so much more will have gone out, within the share, in packets of `one_ms` or so."""
    whole, rest_ms = divmod(cost_ms, allowed.share_ms)
    over_ms = ledger.used_ms(now) + rest_ms - allowed.share_ms
    waited_s = whole * WINDOW_S + min(ledger.freed_in_s(over_ms, now), WINDOW_S)
    burst_ms = _burst_ms(allowed, min(one_ms, cost_ms))
    return max(waited_s, _spread_s(ledger, allowed, cost_ms, now, burst_ms=burst_ms), cost_ms / 1000)


def _burst_ms(allowed: Allowance, packet_ms: int) -> float:
    """However small the share, a burst is longer than one packet."""
    return max(allowed.burst_ms, 2 * packet_ms)


def _spread_s(ledger: Ledger, allowed: Allowance, cost_ms: int, now: float, *, burst_ms: float) -> float:
    over_ms = ledger.level_ms(allowed.rate, now) + cost_ms - burst_ms
    return max(0.0, over_ms / (1000 * allowed.rate))


def _share_s(ledger: Ledger, cost: Cost, limit_ms: int, now: float) -> float:
    once_s = ledger.wait_s(cost.ms, tries=1, gap_s=cost.gap_s, limit_ms=limit_ms, now=now)
    # Where even an empty hour hasn't room for all repeats, a packet goes when nothing else is in it.
    slack_ms = max(round(limit_ms * (1 + SLACK)), cost.ms * cost.tries)
    return max(once_s, _all_s(ledger, cost, slack_ms, now))


def _all_s(ledger: Ledger, cost: Cost, limit_ms: int, now: float) -> float:
    return ledger.wait_s(cost.ms, tries=cost.tries, gap_s=cost.gap_s, limit_ms=limit_ms, now=now)


def _look_again(ledger: Ledger, wait_s: float) -> float:
    return min(wait_s, UNDECIDED_S) if ledger.is_undecided else wait_s


def _ms(percent: float) -> int:
    return round(percent / 100 * 1000 * WINDOW_S)


def _s(ms: float) -> str:
    return f"{ms / 1000:.3g} s"
