# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateway counts as it goes. Gauges are read off its state when someone asks: `gateway.api.metrics`."""

from __future__ import annotations

from typing import TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

from gateway.model import BridgeName, State

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400, 604800)

M = TypeVar("M", Counter, Histogram)


class Metrics:
    """Counters with few labels: bridges and states come from the configuration and the model only."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._children: dict[tuple[object, ...], Counter | Histogram] = {}
        self._received = Counter(
            "crossband_messages_received",
            "Messages journalled, by where they came from.",
            ["bridge"],
            registry=self.registry,
        )
        self._changes = Counter(
            "crossband_delivery_changes", "Changes of a delivery's state.", ["bridge", "state"], registry=self.registry
        )
        self._seconds = Histogram(
            "crossband_message_delivery_seconds",
            "From receiving a message to the far network having it.",
            ["bridge"],
            buckets=_SECONDS,
            registry=self.registry,
        )

        self._outages = Counter(
            "crossband_outages",
            "Outages that began, of a bridge, the queue, the journal or the gateway itself.",
            ["kind", "name"],
            registry=self.registry,
        )
        self._clock_steps = Counter(
            "crossband_clock_steps", "How often the wall clock was set by a second or more.", registry=self.registry
        )

    def received(self, bridge: BridgeName) -> None:
        """Count a message that was journalled; `bridge` is its origin."""
        self._child(self._received, bridge).inc()

    def changed(self, bridge: BridgeName, state: State) -> None:
        """Count a delivery's new state; `bridge` is its destination."""
        self._child(self._changes, bridge, state.value).inc()

    def sent(self, bridge: BridgeName, seconds: float) -> None:
        """Note how long a delivery took, from receiving its message to the far network having it."""
        self._child(self._seconds, bridge).observe(max(0.0, seconds))

    def outage(self, kind: str, name: str) -> None:
        """Count an outage that began; `name`: the bridge's, empty for the others."""
        self._child(self._outages, kind, name).inc()

    def clock_stepped(self) -> None:
        """Count that the wall clock was set."""
        self._clock_steps.inc()

    def _child(self, metric: M, *labels: str) -> M:
        """Return one series of a metric; looked up by ourselves, for `labels()` is slow and this is asked often."""
        key = (metric, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return cast("M", child)
