# SPDX-License-Identifier: GPL-3.0-or-later
"""What saying something would take, told to whoever is about to say it: pure, and nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from gateway.fitting import Unfit, fit
from gateway.model import Address, Bridge, BridgeName, Costs, Delivery, Message, Reckoned, words_of
from gateway.planning import Planner

_BOUNDLESS = 2**31


class Reckoning:
    """Says what a message would take at each address it would go to; nothing before the gateway is put together."""

    def __init__(self) -> None:
        self._planner: Planner | None = None
        self._bridges: Mapping[BridgeName, object] = {}

    def begin(self, planner: Planner, bridges: Mapping[BridgeName, Bridge]) -> None:
        """Go by these."""
        self._planner = planner
        self._bridges = bridges

    def reckon(self, message: Message) -> Sequence[Reckoned]:
        """Return what each address would take, or why it would have nothing of it."""
        if self._planner is None:
            return ()
        plan = self._planner.plan(message)
        parts: dict[Address, list[Delivery]] = {}
        for delivery in plan.deliveries:
            parts.setdefault(delivery.to, []).append(delivery)
        ended = {delivery.to: reason for delivery, _, reason in plan.ended}
        price = Price(self._planner, message)
        would = [self._would(price, to, some) for to, some in parts.items()]
        wont = [
            Reckoned(to=to, refusal=reason, parts=0, bytes_left=price.bytes_left(to)) for to, reason in ended.items()
        ]
        return (*would, *wont)

    def _would(self, price: Price, to: Address, parts: Sequence[Delivery]) -> Reckoned:
        bridge = self._bridges.get(to.bridge)
        airtime_ms = None
        if isinstance(bridge, Costs):
            airtime_ms = sum(bridge.airtime_ms(one.message, to) for one in parts)
        return Reckoned(to=to, parts=len(parts), bytes_left=price.bytes_left(to), airtime_ms=airtime_ms)


class Price:
    """One message, measured as each network would have it."""

    def __init__(self, planner: Planner, message: Message) -> None:
        self._planner = planner
        self._message = message

    def bytes_left(self, to: Address) -> int:
        """Return how many bytes more one part at this address would hold."""
        network = self._planner.capabilities[to.bridge]
        room = network.room_for(self._message.content, to, self._message.reply_to is not None)
        whole = fit(self._message, to, replace(network, room_for=lambda *_: _BOUNDLESS))
        return room - (self._bare if isinstance(whole, Unfit) else _bytes(whole[0]))

    @cached_property
    def _bare(self) -> int:
        return _bytes(self._message)


def _bytes(message: Message) -> int:
    return len(words_of(message.content).encode("utf-8", "replace"))
