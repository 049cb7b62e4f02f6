# SPDX-License-Identifier: GPL-3.0-or-later
"""What this gateway accepted and queued a moment ago: the journal knows nothing of it but that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gateway.model import Delivery, DeliveryId, Text
from gateway.outbox.outbox import Lease

MOST = 4096
"""Past it all are forgotten: a queue so long is read back and looked up."""
MOST_CHARACTERS = 1024
"""Of a text that is kept here; a longer one is read back."""


class Fresh:
    """Spares what is on its way at once a look into the journal, and being read back from the queue."""

    def __init__(self) -> None:
        self._ids: set[DeliveryId] = set()
        self._at_hand: dict[DeliveryId, Delivery] = {}

    @property
    def at_hand(self) -> Mapping[DeliveryId, Delivery]:
        """Those of them that are kept here, as they were put."""
        return self._at_hand

    def add(self, deliveries: Sequence[Delivery]) -> None:
        """Note what was accepted and queued just now."""
        if len(self._ids) + len(deliveries) > MOST:
            self.clear()
        self._ids.update(delivery.id for delivery in deliveries)
        self._at_hand.update((delivery.id, delivery) for delivery in deliveries if _is_short(delivery))

    def has(self, ident: DeliveryId) -> bool:
        """Whether the journal knows nothing of it but that it was accepted."""
        return ident in self._ids

    def unknown(self, leases: Sequence[Lease]) -> list[DeliveryId]:
        """Return those the journal must be asked about, and forget the others: they are fresh but once."""
        asked = [lease.id for lease in leases if lease.id not in self._ids or lease.attempt > 1]
        self.forget(lease.id for lease in leases)
        return asked

    def forget(self, ids: Iterable[DeliveryId]) -> None:
        """Look these up again before they are sent: they were cancelled, or otherwise touched."""
        for ident in ids:
            self._ids.discard(ident)
            self._at_hand.pop(ident, None)

    def clear(self) -> None:
        """Look everything up again: its times have moved, or it may be another's."""
        self._ids.clear()
        self._at_hand.clear()


def _is_short(delivery: Delivery) -> bool:
    content = delivery.message.content
    return isinstance(content, Text) and len(content.body) <= MOST_CHARACTERS
