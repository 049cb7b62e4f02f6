# SPDX-License-Identifier: GPL-3.0-or-later
"""``/metrics``: what the gateway counted, and gauges of its state at this moment. Few labels, and bounded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.registry import Collector

from gateway.api.backlog import Shape, shapes
from gateway.api.gateway import GatewayView
from gateway.link import LinkState
from gateway.model import BridgeName, JournalError, State
from gateway.status import StoreState
from gateway.version import version

__all__ = ["CONTENT_TYPE", "exposition"]

MAX_KINDS = 64
"""Kinds of noticed things per bridge; what is beyond counts as `other`."""


async def exposition(view: GatewayView) -> bytes:
    """Return the text format. While the journal can't be read, what needs it is left out."""
    try:
        tally = await view.journal.tally()
        rows = await shapes(view)
    except JournalError:
        tally, rows = {}, ()
    moment = CollectorRegistry()
    moment.register(_Moment([*_states(view), *_deliveries(tally), *_backlog(view, rows)]))
    return generate_latest(view.metrics.registry) + generate_latest(moment)


class _Moment(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _gauge(name: str, words: str, rows: Mapping[Any, float], labels: tuple[str, ...] = ()) -> Metric:
    """`rows`: a tuple of the labels' values → the number."""
    family = GaugeMetricFamily(f"crossband_{name}", words, labels=labels)
    for values, number in rows.items():
        family.add_metric(values, number)
    return family


def _states(view: GatewayView) -> list[Metric]:
    bridges = view.bridges()
    journal, queue = view.journal_state().state, view.queue_state().state
    noticed = CounterMetricFamily("crossband_bridge_noticed", "Things skipped or noticed.", labels=("bridge", "kind"))
    for status in bridges:
        for kind, count in _bounded(status.counters).items():
            noticed.add_metric((status.name, kind), count)
    since = {(status.name,): status.since_ms / 1000 for status in bridges}
    up = {(status.name,): float(status.state is LinkState.UP) for status in bridges}
    return [
        _gauge("build_info", "Which version runs.", {(version(),): 1}, ("version",)),
        _gauge("start_time_seconds", "When it started, by its own clock.", {(): view.started_ms / 1000}),
        _gauge("journal_up", "Whether messages can be accepted.", {(): float(journal.is_usable)}),
        _gauge("journal_slow", "Whether writing to the journal takes long.", {(): float(journal is StoreState.SLOW)}),
        _gauge("queue_up", "Whether the queue can be used.", {(): float(queue.is_usable)}),
        _gauge("queue_slow", "Whether the queue's server takes long to answer.", {(): float(queue is StoreState.SLOW)}),
        _gauge("bridge_up", "Whether a bridge is connected.", up, ("bridge",)),
        _gauge("bridge_state_timestamp_seconds", "Since when it has been so.", since, ("bridge",)),
        noticed,
    ]


def _deliveries(tally: Mapping[tuple[BridgeName, State], int]) -> list[Metric]:
    rows: dict[tuple[str, ...], float] = {(bridge, state.value): count for (bridge, state), count in tally.items()}
    return [_gauge("deliveries", "Deliveries the journal keeps, by state.", rows, ("bridge", "state"))]


def _backlog(view: GatewayView, rows: tuple[Shape, ...]) -> list[Metric]:
    now_ms = view.clock.now_ms()
    ages = {(row.destination,): _age_s(row.oldest_ms, now_ms) for row in rows}
    labels = ("destination",)
    return [
        _gauge("queue_depth", "Deliveries that wait.", {(row.destination,): row.waiting for row in rows}, labels),
        _gauge("queue_oldest_age_seconds", "Age of the oldest that waits; 0 if none does.", ages, labels),
        _gauge("dead_letters", "Deliveries that failed.", {(row.destination,): row.dead for row in rows}, labels),
    ]


def _age_s(oldest_ms: int | None, now_ms: int) -> float:
    return 0.0 if oldest_ms is None else max(0, now_ms - oldest_ms) / 1000


def _bounded(counters: Mapping[str, int]) -> dict[str, int]:
    kept = dict(list(counters.items())[:MAX_KINDS])
    beyond = sum(list(counters.values())[MAX_KINDS:])
    return kept | {"other": kept.get("other", 0) + beyond} if beyond else kept
