# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateway counts as it goes. Gauges are read off its state when someone asks: `gateway.api.metrics`.

Every message is counted several times, so counting is an addition: the library's own counters take a lock
and a few calls each. What they are called is said when someone asks. For the event loop's thread only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.model import BridgeName, State

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400, 604800)
_UP_TO = (*(f"{float(bound)}" for bound in _SECONDS), "+Inf")


class _Durations:
    """How many took how long: by the first of `_SECONDS` that is not less, and in all."""

    def __init__(self) -> None:
        self.counts = [0] * len(_UP_TO)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(_SECONDS, seconds)] += 1
        self.sum_s += seconds


class Metrics(Collector):
    """Counters with few labels: bridges and states come from the configuration and the model only."""

    def __init__(self) -> None:
        self._received: Counter[BridgeName] = Counter()
        self._changes: Counter[tuple[BridgeName, str]] = Counter()
        self._seconds: defaultdict[BridgeName, _Durations] = defaultdict(_Durations)
        self._outages: Counter[tuple[str, str]] = Counter()
        self._clock_steps = 0
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def received(self, bridge: BridgeName) -> None:
        """Count a message that was journalled; `bridge` is its origin."""
        self._received[bridge] += 1

    def changed(self, bridge: BridgeName, state: State) -> None:
        """Count a delivery's new state; `bridge` is its destination."""
        self._changes[bridge, state.value] += 1

    def sent(self, bridge: BridgeName, seconds: float) -> None:
        """Note how long a delivery took, from receiving its message to the far network having it."""
        self._seconds[bridge].add(max(0.0, seconds))

    def outage(self, kind: str, name: str) -> None:
        """Count an outage that began; `name`: the bridge's, empty for the others."""
        self._outages[kind, name] += 1

    def clock_stepped(self) -> None:
        """Count that the wall clock was set."""
        self._clock_steps += 1

    def collect(self) -> Iterator[Metric]:
        """Yield everything that was counted; the registry asks."""
        words = "Messages journalled, by where they came from."
        received = (((bridge,), count) for bridge, count in self._received.items())
        yield _counter("messages_received", words, received, ("bridge",))
        words = "Changes of a delivery's state."
        yield _counter("delivery_changes", words, self._changes.items(), ("bridge", "state"))
        yield self._durations()
        words = "Outages that began, of a bridge, the queue, the journal or the gateway itself."
        yield _counter("outages", words, self._outages.items(), ("kind", "name"))
        words = "How often the wall clock was set by a second or more."
        yield _counter("clock_steps", words, (((), self._clock_steps),), ())

    def _durations(self) -> Metric:
        family = HistogramMetricFamily(
            "crossband_message_delivery_seconds",
            "From receiving a message to the far network having it.",
            labels=("bridge",),
        )
        for bridge, took in self._seconds.items():
            family.add_metric((bridge,), list(zip(_UP_TO, accumulate(took.counts), strict=True)), took.sum_s)
        return family


def _counter(name: str, words: str, rows: Iterable[tuple[Sequence[str], int]], labels: Sequence[str]) -> Metric:
    """`rows`: the labels' values, and the count."""
    family = CounterMetricFamily(f"crossband_{name}", words, labels=labels)
    for values, count in rows:
        family.add_metric(values, count)
    return family
