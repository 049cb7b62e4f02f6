# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose turn it is, by the airtime each conversation and each sender had. Pure, and the same for the same past.

Virtual time, as in fair queueing: every flow has a time that goes on by what it used. Who was silent doesn't
save up: a flow that comes back starts where those that are served are.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridges.meshtastic.classes import class_of
from gateway.model import Candidate, Delivery

Flow = tuple[str, str]
"""("in", a conversation) or ("by", a sender)."""

MOST_FLOWS = 2048


class Fairness:
    """What every flow had, ahead of the least served one."""

    def __init__(self, limit: int = MOST_FLOWS) -> None:
        self._limit = limit
        self._had: dict[Flow, int] = {}
        self._floor = 0
        """Where the least served of those is that wait: who had less is not kept."""

    def pick(self, heads: Sequence[Candidate], head_start_ms: int) -> Candidate:
        """Return the one that goes next of at least one.

        The best class goes first, but nobody gets more than a head start before the least served: so a room, or
        somebody, with ever more of the best class doesn't keep the others waiting for ever.
        """
        # Who waits keeps what is owed: only those that don't are brought to where the least served of these is.
        lowest = min(self._at(flow) for each in heads for flow in _flows(each.delivery))
        self._floor = max(self._floor, lowest)
        least = min(self._virtual(each.delivery) for each in heads)
        within = [each for each in heads if self._virtual(each.delivery) <= least + head_start_ms]
        return min(within, key=self._order)

    def served(self, delivery: Delivery, cost_ms: int) -> None:
        """Note that it went out."""
        for flow in _flows(delivery):
            self._had[flow] = self._at(flow) + cost_ms
        self._forget()

    def _virtual(self, delivery: Delivery) -> int:
        return max(self._at(flow) for flow in _flows(delivery))

    def _order(self, candidate: Candidate) -> tuple[int, int, int, int, str]:
        delivery = candidate.delivery
        return (
            class_of(candidate),
            self._virtual(delivery),
            min(self._at(flow) for flow in _flows(delivery)),
            delivery.message.received_ms,
            delivery.id,
        )

    def _at(self, flow: Flow) -> int:
        return max(self._had.get(flow, 0), self._floor)

    def _forget(self) -> None:
        self._had = {flow: had for flow, had in self._had.items() if had > self._floor}
        while len(self._had) > self._limit:
            # The least served is the first to be forgiven what it had.
            del self._had[min(self._had, key=self._had.__getitem__)]


def _flows(delivery: Delivery) -> tuple[Flow, Flow]:
    return ("in", delivery.to.conversation), ("by", delivery.message.sender.id)
