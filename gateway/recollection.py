# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what is about to be sent is there already, where a network has forgotten the key it was sent under.

A try is known from the journal, but for the last before a kill: that may have gone out a moment before it was
noted, or another gateway made it. Such a one is the first of its conversation, for order is kept; so there
each is asked for until one is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import structlog

from gateway.journal import Standing
from gateway.model import Bridge, Clock, Delivery, DeliveryId, Recalls, Receipt

log = structlog.get_logger()

MOST_PLACES = 4096
"""Conversations known to hold nothing unnoted; past it they are asked about anew."""


class Recollection:
    """Asks a bridge before a send that may be a repeat; costs nothing where nothing is forgotten."""

    def __init__(self, bridge: Bridge, clock: Clock) -> None:
        self._bridge = bridge if isinstance(bridge, Recalls) else None
        self._clock = clock
        self._tried: dict[DeliveryId, int | None] = {}
        """Of what is claimed, until it is settled. None: as far as is known, never."""
        self._sure: set[tuple[str, str]] = set()

    def learn(self, ids: Iterable[DeliveryId], known: Mapping[DeliveryId, Standing]) -> None:
        """Note when what is claimed now, and was not accepted just now, was tried first."""
        if self._bridge is None:
            return
        for ident in ids:
            standing = known.get(ident)
            if standing is None or standing.state.is_pending:
                self._tried[ident] = None if standing is None else standing.tried_ms

    def forget(self, ids: Iterable[DeliveryId]) -> None:
        """Note that these are settled."""
        if self._tried:
            for ident in ids:
                self._tried.pop(ident, None)

    def forget_all(self) -> None:
        """Note that another may work here now."""
        self._tried.clear()
        self._sure.clear()

    async def recall(self, delivery: Delivery, key: str) -> Receipt | None:
        """Return the receipt of what was sent under this key before; None: send it. Raises BridgeError."""
        if self._bridge is None or delivery.id not in self._tried:
            return None
        place = (delivery.lane.value, delivery.to.conversation)
        tried_ms = self._tried[delivery.id]
        if tried_ms is None and place in self._sure:
            return None
        since_ms = delivery.message.received_ms if tried_ms is None else tried_ms
        if self._is_remembered(self._bridge, since_ms):
            return None
        receipt = await self._bridge.recall(delivery.to, key=key, since_ms=since_ms)
        if receipt is None:
            self._note_sure(place)
        else:
            log.info("delivery_recalled", destination=delivery.to.bridge, delivery=delivery.id)
        return receipt

    def _is_remembered(self, bridge: Recalls, since_ms: int) -> bool:
        # A try that is yet to come was made under another clock: who knows when.
        return bridge.remembers_since_ms() <= since_ms <= self._clock.now_ms()

    def _note_sure(self, place: tuple[str, str]) -> None:
        if len(self._sure) >= MOST_PLACES:
            self._sure.clear()
        self._sure.add(place)
