# SPDX-License-Identifier: GPL-3.0-or-later
"""What instruments measure, summed up: of each node one line in so long. Pure."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from google.protobuf.message import DecodeError
from meshtastic.protobuf.telemetry_pb2 import Telemetry

MOST_NODES = 500
"""Whose measurements are remembered; past it those of the node that sent longest ago are forgotten."""
MOST_BYTES = 180
"""Of one line, so that it fits into one packet of another radio together with a name."""
_MOST = 1e6
"""A figure beyond this is a broken sensor's."""


class NoSummary(StrEnum):
    """Why a packet says nothing now: what is counted."""

    UNPARSABLE = "telemetry_unparsable"
    NOT_MEASURED = "telemetry_of_the_node_itself"
    """Battery, use of the air, figures of the device or of a body: for the directory at most."""
    SUMMED = "telemetry_summed"
    """It is in the node's next line."""
    UNCHANGED = "telemetry_unchanged"


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a telemetry packet (`telemetry.proto`), and how it is said."""

    group: str
    field: str
    label: str = ""
    unit: str = ""
    decimals: int = 0

    def figure(self, value: float) -> str:
        """Return a value as it is said, without its unit."""
        said = f"{value:.{self.decimals}f}"
        return said.removeprefix("-") if float(said) == 0 else said


def _weather(*fields: tuple[str, str, str, int]) -> tuple[Metric, ...]:
    return tuple(Metric("environment_metrics", *each) for each in fields)


def _air(*fields: tuple[str, str, str, int]) -> tuple[Metric, ...]:
    return tuple(Metric("air_quality_metrics", *each) for each in fields)


def _power(channel: int) -> tuple[Metric, ...]:
    name = f"ch{channel}"
    return (
        Metric("power_metrics", f"{name}_voltage", name, "V", 2),
        Metric("power_metrics", f"{name}_current", name, "mA"),
    )


METRICS = (
    *_weather(
        ("temperature", "", "°C", 1),
        ("relative_humidity", "humidity", "%", 0),
        ("barometric_pressure", "", "hPa", 0),
        ("wind_speed", "wind", "m/s", 1),
        ("wind_direction", "wind from", "°", 0),
        ("wind_gust", "gusts", "m/s", 1),
        ("rainfall_1h", "rain in 1 h", "mm", 1),
        ("rainfall_24h", "rain in 24 h", "mm", 1),
        ("soil_temperature", "soil", "°C", 1),
        ("soil_moisture", "soil moisture", "%", 0),
        ("distance", "distance", "mm", 0),
        ("radiation", "radiation", "µR/h", 1),
        ("iaq", "IAQ", "", 0),
        ("lux", "light", "lx", 0),
        ("weight", "weight", "kg", 1),
        ("voltage", "", "V", 2),
        ("current", "", "mA", 0),
    ),
    *_air(
        ("pm25_standard", "PM2.5", "µg/m³", 0),
        ("pm100_standard", "PM10", "µg/m³", 0),
        ("pm10_standard", "PM1", "µg/m³", 0),
        ("co2", "CO2", "ppm", 0),
        ("form_formaldehyde", "formaldehyde", "ppb", 0),
        ("pm_voc_idx", "VOC index", "", 0),
        ("pm_nox_idx", "NOx index", "", 0),
    ),
    *(metric for channel in range(1, 9) for metric in _power(channel)),
)
"""In the order they are said. Of the rest of the protobufs nothing is."""


@dataclass(slots=True)
class _Track:
    """One metric of one node since its last line."""

    value: float
    low: float
    high: float
    said: str = ""
    """The figure of the last line."""

    def add(self, value: float) -> None:
        self.value, self.low, self.high = value, min(self.low, value), max(self.high, value)


@dataclass(slots=True)
class _Station:
    """One node's instruments."""

    said_at: float | None = None
    tracks: dict[Metric, _Track] = field(default_factory=dict)


class Instruments:
    """Sums up what nodes measure: the first at once, then one line of a node in `every_s`."""

    def __init__(self, every_s: float, *, limit: int = MOST_NODES) -> None:
        self._every_s = every_s
        self._limit = limit
        self._stations: OrderedDict[int, _Station] = OrderedDict()

    def take(self, node: int, payload: bytes, now: float) -> str | NoSummary:
        """Return the line to say of a node now, or why there is none. `now`: seconds that only grow."""
        try:
            measured = tuple(_measured(Telemetry.FromString(payload)))
        except DecodeError:
            return NoSummary.UNPARSABLE
        if not measured:
            return NoSummary.NOT_MEASURED
        station = self._station(node)
        for metric, value in measured:
            station.tracks.setdefault(metric, _Track(value, value, value)).add(value)
        if station.said_at is not None and now - station.said_at < self._every_s:
            return NoSummary.SUMMED
        line = _line(station)
        station.said_at = now
        return line or NoSummary.UNCHANGED

    def _station(self, node: int) -> _Station:
        station = self._stations.setdefault(node, _Station())
        self._stations.move_to_end(node)
        while len(self._stations) > self._limit:
            self._stations.popitem(last=False)
        return station


def _measured(telemetry: Telemetry) -> Iterator[tuple[Metric, float]]:
    group = telemetry.WhichOneof("variant")
    for metric in METRICS:
        if metric.group != group:
            continue
        said = getattr(telemetry, group)
        value = float(getattr(said, metric.field))
        if said.HasField(metric.field) and math.isfinite(value) and abs(value) <= _MOST:
            yield metric, value


def _line(station: _Station) -> str:
    """Return what is new since the last line, and begin anew."""
    words: list[str] = []
    for metric in METRICS:
        track = station.tracks.get(metric)
        if track is None:
            continue
        if said := _words(metric, track):
            words.append(said)
        track.said, track.low, track.high = metric.figure(track.value), track.value, track.value
    return _cut(words)


def _words(metric: Metric, track: _Track) -> str:
    """Return a metric in words: its value, and between what it was; nothing where all that is as it was said."""
    value, low, high = (metric.figure(each) for each in (track.value, track.low, track.high))
    if value == low == high == track.said:
        return ""
    between = "" if low == high else f"({low} to {high})"
    return " ".join(filter(None, (metric.label, value, metric.unit, between)))


def _cut(words: list[str]) -> str:
    line = ""
    for each in words:
        longer = f"{line}, {each}" if line else each
        if len(longer.encode()) > MOST_BYTES:
            return f"{line}, …"
        line = longer
    return line
