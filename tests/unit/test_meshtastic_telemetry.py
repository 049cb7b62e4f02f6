# SPDX-License-Identifier: GPL-3.0-or-later
"""bridges.meshtastic.telemetry: one line of a node in so long, with what is new in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshtastic.protobuf.telemetry_pb2 import Telemetry

from bridges.meshtastic.telemetry import METRICS, MOST_BYTES, Instruments, NoSummary
from bridges.sim.devices import telemetry_data

RIDGE, MARKET = 0xA1B2C301, 0xA1B2C302
HOUR_S = 3600.0


def weather(**figures: float) -> bytes:
    return bytes(telemetry_data("environment_metrics", **figures).payload)


def test_the_first_measurement_is_told_at_once_in_words_with_units() -> None:
    said = Instruments(HOUR_S).take(RIDGE, weather(temperature=21.46, relative_humidity=40.6, wind_direction=270), 0.0)
    assert said == "21.5 °C, humidity 41 %, wind from 270 °"


@pytest.mark.parametrize(
    ("group", "figures", "words"),
    [
        (
            "power_metrics",
            {"ch1_voltage": 3.7, "ch1_current": 120.4, "ch3_voltage": 12},
            "ch1 3.70 V, ch1 120 mA, ch3 12.00 V",
        ),
        ("air_quality_metrics", {"pm25_standard": 12, "co2": 640}, "PM2.5 12 µg/m³, CO2 640 ppm"),
        ("environment_metrics", {"temperature": -0.04}, "0.0 °C"),
        ("environment_metrics", {"temperature": float("nan"), "lux": 5}, "light 5 lx"),
        ("environment_metrics", {"temperature": 1e9, "lux": 5}, "light 5 lx"),
    ],
)
def test_each_kind_of_instrument_has_its_words(group: str, figures: dict[str, float], words: str) -> None:
    payload = bytes(telemetry_data(group, **figures).payload)
    assert Instruments(HOUR_S).take(RIDGE, payload, 0.0) == words


def test_until_the_next_line_is_due_measurements_are_summed_up_and_then_told_with_their_extremes() -> None:
    instruments = Instruments(HOUR_S)
    instruments.take(RIDGE, weather(temperature=10, relative_humidity=50), 0.0)
    for minute, degrees in enumerate((8.0, 14.5, 12.0), 1):
        said = instruments.take(RIDGE, weather(temperature=degrees, relative_humidity=50), minute * 600.0)
        assert said is NoSummary.SUMMED
    assert instruments.take(RIDGE, weather(temperature=12, relative_humidity=50), HOUR_S) == "12.0 °C (8.0 to 14.5)"


def test_what_stayed_as_it_was_is_not_told_again() -> None:
    instruments = Instruments(HOUR_S)
    instruments.take(RIDGE, weather(temperature=10.01, barometric_pressure=1013.2), 0.0)
    assert (
        instruments.take(RIDGE, weather(temperature=10.04, barometric_pressure=1013.4), HOUR_S) is NoSummary.UNCHANGED
    )
    assert instruments.take(RIDGE, weather(temperature=10.01), 2 * HOUR_S - 1) is NoSummary.SUMMED
    later = instruments.take(RIDGE, weather(temperature=10, barometric_pressure=1009), 2 * HOUR_S)
    assert later == "1009 hPa (1009 to 1013)"


def test_nodes_are_summed_up_each_for_itself() -> None:
    instruments = Instruments(HOUR_S)
    assert instruments.take(RIDGE, weather(temperature=1), 0.0) == "1.0 °C"
    assert instruments.take(MARKET, weather(temperature=2), 1.0) == "2.0 °C"


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"\xff\xff", NoSummary.UNPARSABLE),
        (b"", NoSummary.NOT_MEASURED),
        (bytes(telemetry_data("device_metrics", battery_level=80).payload), NoSummary.NOT_MEASURED),
        (bytes(telemetry_data("health_metrics", heart_bpm=80).payload), NoSummary.NOT_MEASURED),
        (bytes(telemetry_data("local_stats", num_packets_tx=80).payload), NoSummary.NOT_MEASURED),
    ],
)
def test_what_a_node_tells_of_itself_or_a_body_is_not_passed_on(payload: bytes, why: NoSummary) -> None:
    assert Instruments(HOUR_S).take(RIDGE, payload, 0.0) is why


def test_only_so_many_nodes_are_remembered() -> None:
    instruments = Instruments(HOUR_S, limit=2)
    for node in (1, 2, 3):
        instruments.take(node, weather(temperature=5), 0.0)
    assert instruments.take(3, weather(temperature=5), 1.0) is NoSummary.SUMMED
    assert instruments.take(1, weather(temperature=5), 1.0) == "5.0 °C"


def test_every_metric_is_one_of_the_protobufs() -> None:
    telemetry = Telemetry()
    assert all(metric.field in getattr(telemetry, metric.group).DESCRIPTOR.fields_by_name for metric in METRICS)
    assert len({(metric.group, metric.field) for metric in METRICS}) == len(METRICS)


groups = st.sampled_from(sorted({metric.group for metric in METRICS}))


@given(groups, st.lists(st.floats(-1e6, 1e6, width=32), min_size=20, max_size=20), st.binary(max_size=30))
def test_a_line_always_fits_one_packet(group: str, values: list[float], noise: bytes) -> None:
    names = [metric.field for metric in METRICS if metric.group == group]
    figures = {name: abs(value) for name, value in zip(names, values, strict=False)}
    instruments = Instruments(0.0)
    instruments.take(RIDGE, noise, 0.0)
    instruments.take(RIDGE, bytes(telemetry_data(group, **figures).payload), 0.0)
    line = instruments.take(RIDGE, bytes(telemetry_data(group, **dict.fromkeys(figures, 1)).payload), 1.0)
    assert len(line.encode()) <= MOST_BYTES + len(", …".encode())
    assert "\n" not in line
