# SPDX-License-Identifier: GPL-3.0-or-later
"""Who of several boxes says something in a conversation they all serve. Pure; seconds are by the asker's own clock.

Every box ranks the boxes it has heard lately the same way, by a hash (rendezvous, or highest random weight, hashing:
Thaler and Ravishankar 1998): no message is needed to agree, the work spreads evenly, and a box that goes away moves
only its own share. The first speaks at once; each next one waits one turn longer to hear of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from bridges.lan.event import BoxId
from gateway.model import Listen, NativeId, Said, Speak, Utterance


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """What a box told of saying something."""

    since_s: float
    """When this box learned of it."""
    is_done: bool
    """False: it was about to say it."""
    as_native: NativeId | None = None


def ranked(boxes: Collection[BoxId], utterance: Utterance, first: BoxId | None = None) -> list[BoxId]:
    """Return the boxes in the order in which they may speak: `first` if it is one of them, then by hash.

    All parts of one message have one order.
    """

    def weight(box: BoxId) -> tuple[bool, bytes]:
        text = f"turn\0{box}\0{utterance.where}\0{utterance.native_id}"
        return box != first, hashlib.sha256(text.encode("utf-8", "replace")).digest()

    return sorted(boxes, key=weight)


def decide(
    utterance: Utterance,
    emissions: Mapping[BoxId, Emission],
    *,
    me: BoxId,
    live: Collection[BoxId],
    first: BoxId | None,
    now_s: float,
    waited_s: float,
    turn_s: float,
    named: Callable[[BoxId], str] = str,
) -> Speak | Listen | Said:
    """Return whether this box says it now. `live`: the others that serve the conversation, as last heard.

    What a box is about to say it is left to say for one turn; a box that said so and was not heard of after that
    has lost its rank. `named`: what people call a box.
    """
    others = {box: told for box, told in emissions.items() if box != me}
    for box, told in others.items():
        if told.is_done:
            return Said(by=named(box), native_id=told.as_native)
    order = ranked({*live, me}, utterance, first)
    if me in emissions and not any(_comes_before(order, box, me) for box in others):
        return Speak()  # it was begun here, and may be there: again under the same key
    for box, told in others.items():
        left_s = told.since_s + turn_s - now_s
        if left_s > 0:
            return Listen(for_s=left_s, reason=f"box {named(box)} is saying it")
    waiting_for = [box for box in order[: order.index(me)] if box not in others]
    left_s = len(waiting_for) * turn_s - waited_s
    return Listen(for_s=left_s, reason=f"box {named(waiting_for[0])} speaks first") if left_s > 0 else Speak()


def _comes_before(order: list[BoxId], box: BoxId, me: BoxId) -> bool:
    return box in order and order.index(box) < order.index(me)
