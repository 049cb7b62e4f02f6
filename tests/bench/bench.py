# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures everything that has a goal, several times: `python tests/bench/bench.py [--only KEY...] [--runs N]`.

Prints a table and writes bench.json in the working directory. Run nothing beside it: goals are for an
otherwise idle machine. Ends with 0 also where a goal is missed: the table says so.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from gateway.process import keep_what_is_loaded
from tests.bench import pipeline, running
from tests.bench.air_day import day_on_air
from tests.bench.backlog import backlog
from tests.bench.draining import draining
from tests.bench.frames import decoded, eight_radios
from tests.bench.ghosts import ghosts
from tests.bench.lan_idle import lan_idle
from tests.bench.lan_learn import lan_learn
from tests.bench.lan_mesh import lan_mesh, lan_over
from tests.bench.page import page
from tests.bench.report import Report
from tests.bench.talk import percentile
from tests.bench.unjournalled import unjournalled

GOALS = {
    "serial_per_s": ("1/s", ">= 400"),
    "parallel_per_s": ("1/s", ">= 3000"),
    "parallel_ratio": ("", ">= 0.5"),
    "latency_p50_ms": ("ms", "<= 10"),
    "latency_p99_ms": ("ms", "<= 40"),
    "unjournalled_p99_ms": ("ms", "<= 10"),
    "ready_s": ("s", "<= 2"),
    "gateway_rss_mib": ("MiB", "<= 120"),
    "valkey_rss_mib": ("MiB", "<= 15"),
    "idle_cpu_percent": ("%", "<= 2"),
    "drain_ratio": ("", ">= 0.8"),
    "queued_bytes": ("B", "<= 550"),
    "claim_p99_ms": ("ms", "<= 2"),
    "reload_1m_s": ("s", "<= 15"),
    "ghosts_added_mib": ("MiB", "<= 40"),
    "ghosts_added_p95_ms": ("ms", "<= 150"),
    "goodput_ratio": ("", ">= 0.95"),
    "budget_error_percent": ("%", "<= 1"),
    "frames_per_s": ("1/s", ">= 5000"),
    "radios8_cpu_percent": ("%", "<= 60"),
    "radios8_per_s": ("1/s", ">= 250"),
    "page_p99_ms": ("ms", "<= 100"),
    "page_added_mib": ("MiB", "<= 25"),
    "lan_p50_ms": ("ms", "<= 40"),
    "lan_heal_s": ("s", "<= 20"),
    "lan_learn_s": ("s", "<= 120"),
    "lan_learn_mib": ("MiB", "<= 25"),
    "lan_learn_stall_ms": ("ms", "<= 50"),
    "lan_idle_cpu_percent": ("%", "<= 1"),
    "lan_idle_bytes_per_s": ("B/s", "<= 1000"),
}
RUNS = 5
RUN_WITHIN_S = 300.0
SERIAL_MESSAGES = 2_000
PARALLEL_MESSAGES = 12_800


async def _serial(folder: Path) -> dict[str, float]:
    return {"serial_per_s": await pipeline.serial(folder, SERIAL_MESSAGES)}


async def _parallel(folder: Path) -> dict[str, float]:
    whole, bare, _ = await pipeline.parallel(folder, PARALLEL_MESSAGES)
    return {"parallel_per_s": whole, "parallel_ratio": whole / bare}


async def _latency(folder: Path) -> dict[str, float]:
    took = await running.latency(folder)
    return {"latency_p50_ms": percentile(took, 50), "latency_p99_ms": percentile(took, 99)}


async def _unjournalled(folder: Path) -> dict[str, float]:
    return {"unjournalled_p99_ms": percentile(await unjournalled(folder), 99)}


async def _ready(folder: Path) -> dict[str, float]:
    return {"ready_s": await running.ready(folder)}


async def _idle(folder: Path) -> dict[str, float]:
    gateway, valkey, percent = await running.idle(folder)
    return {"gateway_rss_mib": gateway, "valkey_rss_mib": valkey, "idle_cpu_percent": percent}


@dataclass(frozen=True, slots=True)
class Measurement:
    """One way to get some of the figures, in a fresh directory."""

    keys: frozenset[str]
    run: Callable[[Path], Awaitable[Mapping[str, float]]]


MEASUREMENTS = (
    Measurement(frozenset({"serial_per_s"}), _serial),
    Measurement(frozenset({"parallel_per_s", "parallel_ratio"}), _parallel),
    Measurement(frozenset({"latency_p50_ms", "latency_p99_ms"}), _latency),
    Measurement(frozenset({"unjournalled_p99_ms"}), _unjournalled),
    Measurement(frozenset({"ready_s"}), _ready),
    Measurement(frozenset({"gateway_rss_mib", "valkey_rss_mib", "idle_cpu_percent"}), _idle),
    Measurement(frozenset({"drain_ratio"}), draining),
    Measurement(frozenset({"ghosts_added_mib", "ghosts_added_p95_ms"}), ghosts),
    Measurement(frozenset({"goodput_ratio", "budget_error_percent"}), day_on_air),
    Measurement(frozenset({"frames_per_s"}), decoded),
    Measurement(frozenset({"radios8_cpu_percent", "radios8_per_s"}), eight_radios),
    Measurement(frozenset({"page_p99_ms", "page_added_mib"}), page),
    Measurement(frozenset({"queued_bytes", "claim_p99_ms", "reload_1m_s"}), backlog),
    Measurement(frozenset({"lan_p50_ms", "lan_heal_s"}), lan_mesh),
    Measurement(frozenset({"lan_learn_s", "lan_learn_mib", "lan_learn_stall_ms"}), lan_learn),
    Measurement(frozenset({"lan_idle_cpu_percent", "lan_idle_bytes_per_s"}), lan_idle),
)


def _measured(measurement: Measurement, folder: Path) -> Mapping[str, float]:
    # What earlier runs left behind must not be looked through while this one is timed.
    keep_what_is_loaded()
    folder.mkdir()
    try:
        return asyncio.run(_in_time(measurement.run(folder)))
    finally:
        shutil.rmtree(folder)


async def _in_time(measuring: Awaitable[Mapping[str, float]]) -> Mapping[str, float]:
    async with asyncio.timeout(RUN_WITHIN_S):
        return await measuring


def _bench(report: Report, only: frozenset[str], runs: int, folder: Path) -> None:
    wanted = [measurement for measurement in MEASUREMENTS if measurement.keys & only]
    for number in range(1, runs + 1):
        for measurement in wanted:
            began = time.perf_counter()
            found = _measured(measurement, folder / "m")
            for key, value in found.items():
                report.add(key, value)
            said = "  ".join(f"{key} {value:.2f}" for key, value in found.items())
            print(f"run {number} of {runs}  {said}  ({time.perf_counter() - began:.0f} s)", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=GOALS, default=list(GOALS), metavar="KEY", help=", ".join(GOALS))
    parser.add_argument("--runs", type=int, default=RUNS)
    return parser.parse_args()


def main() -> None:
    """Measure, print, write."""
    arguments = _arguments()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    # In the working directory, not in /tmp: that may be memory, where writing to the disk costs nothing.
    place = Path.cwd() / ".build"
    place.mkdir(exist_ok=True)
    report = Report(GOALS, {key: lan_over() for key in GOALS if key.startswith(("lan_p50", "lan_heal", "lan_idle"))})
    with tempfile.TemporaryDirectory(prefix="b-", dir=place) as folder:
        _bench(report, frozenset(arguments.only), max(1, arguments.runs), Path(folder))
    report.write(Path("bench.json"))
    print(report.table())


if __name__ == "__main__":
    main()
