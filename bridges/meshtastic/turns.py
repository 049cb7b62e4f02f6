# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the waiting goes on the air next, or why none may: the rules, in the order they count. Pure.

1. Nothing goes that the radio would refuse: no region, its own duty cycle, sooner than its pace.
2. Lanes: emergencies first; guests last, and not at all on a crowded channel.
3. A busy channel is left to the others, and nothing is piled up in the radio: once much of what may go at once is gone,
   it is given the next one when it has told what became of the last, or would soon try that again.
4. The hour's budget, spread over it.
5. Among those that remain: classes, then fairness (`fairness`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bridges.meshtastic.allowance import PLENTY, Allowance, Cost, NoRoom, crowded_s, has_plenty, room
from bridges.meshtastic.classes import Class, class_of
from bridges.meshtastic.fairness import Fairness
from bridges.meshtastic.ledger import Ledger
from gateway.model import Candidate, Delivery, Go, Hold, Lane, Refuse

POLITE_PERCENT = 25.0
CROWDED_PERCENT = 40.0
"""The mesh's own limits of politeness (firmware `AirTime::isTxAllowedChannelUtil`)."""
LOOK_AGAIN_S = 10.0
"""How soon a busy channel is looked at again: our node tells once a minute."""
SILENT_S = 30.0
"""How soon a radio that may not transmit is looked at again: only people can mend that."""
HEAD_START = 1 / 20
"""Of an hour's share, what the better class may have before the least served has its turn."""
SHORTEST_S = 0.05
AT_ONCE = 3
"""So many may be on their first way out at once while there is plenty left: a radio that nobody hears tells late."""
OPEN_S = 1.0
"""How soon to ask again whether the radio has told."""

PACE = "one after the other, at the radio's pace"
CROWDED = "much went out at once: the rest of the hour's airtime is spread over it"
_LANES = (Lane.EMERGENCY, Lane.NORMAL, Lane.GUEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sky:
    """How things are now."""

    now: float
    silence: str
    """Why the radio may not transmit at all."""
    resting_s: float
    """For so long the radio itself refuses: its duty cycle is used up."""
    pace_s: float
    """For so long it would drop the next text."""
    busy_percent: float | None
    others_ms: int
    allowed: Allowance


def choose(
    waiting: Sequence[Candidate], sky: Sky, ledger: Ledger, fairness: Fairness, cost_of: Callable[[Delivery], Cost]
) -> Go | Hold | Refuse:
    """Say what becomes of these."""
    stopped = _stopped(sky)
    if stopped is not None:
        return stopped
    lane, heads = _foremost(waiting)
    busy = sky.busy_percent or 0.0
    guests = [each for each in waiting if each.delivery.lane is Lane.GUEST]
    if guests and lane is not Lane.EMERGENCY and busy > CROWDED_PERCENT:
        reason = f"the channel is crowded ({busy:.0f} %): guests are not carried"
        return Refuse(id=guests[0].delivery.id, reason=reason)
    if lane is not Lane.EMERGENCY and busy > POLITE_PERCENT:
        return _busy(busy)
    open_s = ledger.open_s(sky.now, beside=AT_ONCE - 1 if has_plenty(ledger, sky.allowed, sky.now) else 0)
    if lane is not Lane.EMERGENCY and open_s > 0:
        return Hold(for_s=max(SHORTEST_S, min(open_s, OPEN_S)), reason=PACE, is_brief=True)
    picked = fairness.pick(heads, round(sky.allowed.share_ms * HEAD_START))
    return _admitted(picked, cost_of(picked.delivery), sky, ledger)


def spare(cost_ms: int, sky: Sky, ledger: Ledger) -> Hold | None:
    """Return why the gateway itself may not say something now, which nobody asked a bridge to carry; None if it may.

    That is the least of all: it has what is left when half of what may go at once is kept for others.
    """
    if stopped := _stopped(sky):
        return stopped
    if (busy := sky.busy_percent or 0.0) > POLITE_PERCENT:
        return _busy(busy)
    wait_s = crowded_s(ledger, sky.allowed, cost_ms, sky.now, part=PLENTY)
    return Hold(for_s=max(SHORTEST_S, wait_s), reason=CROWDED) if wait_s > 0 else None


def _busy(percent: float) -> Hold:
    return Hold(for_s=LOOK_AGAIN_S, reason=f"the channel is busy: {percent:.0f} %")


def _stopped(sky: Sky) -> Hold | None:
    if sky.silence:
        return Hold(for_s=SILENT_S, reason=sky.silence)
    if sky.resting_s > 0:
        minutes = math.ceil(sky.resting_s / 60)
        reason = f"the radio says that the region's duty cycle is used up: {minutes} min more"
        return Hold(for_s=min(sky.resting_s, SILENT_S), reason=reason)
    if sky.pace_s > 0:
        return Hold(for_s=max(SHORTEST_S, sky.pace_s), reason=PACE, is_brief=True)
    return None


def _foremost(waiting: Sequence[Candidate]) -> tuple[Lane, list[Candidate]]:
    lane = min((each.delivery.lane for each in waiting), key=_LANES.index)
    return lane, [each for each in waiting if each.delivery.lane is lane]


def _admitted(candidate: Candidate, cost: Cost, sky: Sky, ledger: Ledger) -> Go | Hold | Refuse:
    delivery = candidate.delivery
    is_emergency = delivery.lane is Lane.EMERGENCY
    full = room(ledger, sky.allowed, cost, others_ms=sky.others_ms, now=sky.now, is_emergency=is_emergency)
    if full is not None and math.isinf(full.for_s):
        return Refuse(id=delivery.id, reason=full.reason)
    if full is None and not (is_emergency or class_of(candidate) is Class.DIRECT):
        full = _crowded(cost, sky, ledger)
    if full is not None:
        return Hold(for_s=max(SHORTEST_S, full.for_s), reason=full.reason)
    return Go(id=delivery.id)


def _crowded(cost: Cost, sky: Sky, ledger: Ledger) -> NoRoom | None:
    wait_s = crowded_s(ledger, sky.allowed, cost.ms, sky.now)
    if wait_s <= 0:
        return None
    return NoRoom(for_s=wait_s, reason=CROWDED)
