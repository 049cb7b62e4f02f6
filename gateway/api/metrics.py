# SPDX-License-Identifier: GPL-3.0-or-later
"""``/metrics``: what the gateway counted, and gauges of its state at this moment. Few labels, and bounded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.registry import Collector

from gateway.api.gateway import GatewayView
from gateway.backlog import Backlog, backlogs
from gateway.journal import Outage
from gateway.model import BridgeName, JournalError, State
from gateway.outlook import Outlook
from gateway.status import StoreState
from gateway.version import version

__all__ = ["CONTENT_TYPE", "exposition"]

MAX_KINDS = 64
"""Kinds of noticed things per bridge; what is beyond counts as `other`."""


async def exposition(view: GatewayView) -> bytes:
    """Return the text format. While the journal can't be read, what needs it is left out."""
    try:
        tally = await view.journal.tally()
        rows = await backlogs(view, tally)
        outages = await view.journal.outages.latest()
        outlooks = await view.outlooks()
    except JournalError:
        tally, rows, outages, outlooks = {}, (), (), {}
    moment = CollectorRegistry()
    moment.register(
        _Moment(
            [
                *_states(view),
                *_deliveries(tally),
                *_backlog(view, rows),
                *_outages(view, outages),
                *_airtime(view, outlooks),
                _redrive(view),
            ]
        )
    )
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
    dropped = CounterMetricFamily("crossband_dropped", "Records dropped at a limit; never messages.", labels=("kind",))
    for kind, count in view.dropped().items():
        dropped.add_metric((kind,), count)
    since = {(status.name,): status.since_ms / 1000 for status in bridges}
    held = {(one.name,): float(one.sending.holds_back) for one in bridges if one.sending}
    opened = CounterMetricFamily("crossband_breaker_opened", "How often sending was held back.", labels=("bridge",))
    for status in bridges:
        opened.add_metric((status.name,), status.held_back)
    up = {(status.name,): float(status.state.is_well) for status in bridges}
    return [
        _gauge("build_info", "Which version runs.", {(version(),): 1}, ("version",)),
        _gauge("start_time_seconds", "When it started, by its own clock.", {(): view.started_ms / 1000}),
        _gauge("journal_up", "Whether messages can be accepted.", {(): float(journal.is_usable)}),
        _gauge("journal_slow", "Whether writing to the journal takes long.", {(): float(journal is StoreState.SLOW)}),
        _gauge("queue_up", "Whether the queue can be used.", {(): float(queue.is_usable)}),
        _gauge("queue_refused", "Whether only an operator can mend that.", {(): float(queue is StoreState.REFUSED)}),
        _gauge("queue_slow", "Whether the queue's server takes long to answer.", {(): float(queue is StoreState.SLOW)}),
        _gauge(
            "bridge_up", "Whether a bridge is connected, here or on another gateway of the same queue.", up, ("bridge",)
        ),
        _gauge("bridge_state_timestamp_seconds", "Since when it has been so.", since, ("bridge",)),
        _gauge("breaker_open", "Whether sending to a bridge is held back.", held, ("bridge",)),
        opened,
        noticed,
        dropped,
    ]


def _deliveries(tally: Mapping[tuple[BridgeName, State], int]) -> list[Metric]:
    rows: dict[tuple[str, ...], float] = {(bridge, state.value): count for (bridge, state), count in tally.items()}
    return [_gauge("deliveries", "Deliveries the journal keeps, by state.", rows, ("bridge", "state"))]


def _backlog(view: GatewayView, rows: tuple[Backlog, ...]) -> list[Metric]:
    now_ms = view.clock.now_ms()
    ages = {(row.destination,): _age_s(row.oldest_ms, now_ms) for row in rows}
    labels = ("destination",)
    return [
        _gauge("queue_depth", "Deliveries that wait.", {(row.destination,): row.waiting for row in rows}, labels),
        _gauge("queue_oldest_age_seconds", "Age of the oldest that waits; 0 if none does.", ages, labels),
        _gauge("dead_letters", "Deliveries that failed.", {(row.destination,): row.dead for row in rows}, labels),
    ]


def _outages(view: GatewayView, latest: tuple[Outage, ...]) -> list[Metric]:
    """Of each thing the latest: what is over is told once the next begins."""
    now_ms = view.clock.now_ms()
    labels = ("kind", "name")
    lasted = {(one.kind.value, one.name): ((one.ended_ms or now_ms) - one.began_ms) / 1000 for one in latest}
    is_open = {(one.kind.value, one.name): float(one.ended_ms is None) for one in latest}
    became: dict[tuple[str, ...], float] = {
        (one.kind.value, one.name, what): count for one in latest for what, count in asdict(one.became).items()
    }
    return [
        _gauge("outage_open", "Whether the latest outage is not over.", is_open, labels),
        _gauge("outage_seconds", "How long the latest outage lasted, or has so far.", lasted, labels),
        _gauge("outage_deliveries", "What had to wait for it, by what became.", became, (*labels, "became")),
    ]


def _airtime(view: GatewayView, outlooks: Mapping[BridgeName, Outlook]) -> list[Metric]:
    """Of bridges that schedule; nothing where there is none."""
    found = {(one.name,): one.schedule for one in view.bridges() if one.schedule is not None}
    if not found:
        return []
    labels = ("bridge",)
    held = CounterMetricFamily(
        "crossband_airtime_held_seconds", "How long all that waited was held back.", labels=labels
    )
    refused = CounterMetricFamily("crossband_airtime_refused", "Deliveries a bridge would not carry.", labels=labels)
    for name, one in found.items():
        held.add_metric(name, one.held_s)
        refused.add_metric(name, one.refused)
    air = {name: one.airtime for name, one in found.items()}
    used = {name: one.used_ms / 1000 for name, one in air.items()}
    allowed = {name: one.allowed_ms / 1000 for name, one in air.items()}
    busy = {name: one.busy_percent / 100 for name, one in air.items() if one.busy_percent is not None}
    holds = {name: float(bool(one.held)) for name, one in air.items()}
    drain = {(name,): math.inf if one.drain_s is None else one.drain_s for name, one in outlooks.items()}
    return [
        _gauge("airtime_used_seconds", "Sent in the window that ends now.", used, labels),
        _gauge("airtime_allowed_seconds", "What may be sent in one window.", allowed, labels),
        _gauge("channel_busy_ratio", "How much of the time anybody transmits, as last told.", busy, labels),
        _gauge("airtime_held", "Whether all that waits is held back.", holds, labels),
        _gauge("airtime_drain_seconds", "How long until what waits will have gone out.", drain, labels),
        held,
        refused,
    ]


def _redrive(view: GatewayView) -> Metric:
    job = view.redrives.progress
    left = 0 if job is None or job.ended_ms is not None else max(0, job.total - job.sent - job.left)
    return _gauge("redrive_remaining", "Dead letters still to be sent again, of a job that runs.", {(): left})


def _age_s(oldest_ms: int | None, now_ms: int) -> float:
    return 0.0 if oldest_ms is None else max(0, now_ms - oldest_ms) / 1000


def _bounded(counters: Mapping[str, int]) -> dict[str, int]:
    kept = dict(list(counters.items())[:MAX_KINDS])
    beyond = sum(list(counters.values())[MAX_KINDS:])
    return kept | {"other": kept.get("other", 0) + beyond} if beyond else kept
