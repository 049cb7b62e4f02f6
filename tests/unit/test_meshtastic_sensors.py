# SPDX-License-Identifier: GPL-3.0-or-later
"""bridges.meshtastic.sensors: detections are news, the same state again is none."""

from __future__ import annotations

from bridges.meshtastic.sensors import NoReport, Sensors

RIDGE, MARKET = 0xA1B2C301, 0xA1B2C302


def test_each_detection_is_told_on_one_line_without_its_bell() -> None:
    sensors = Sensors()
    assert [sensors.take(RIDGE, b"Motion detected\a\0") for _ in range(2)] == ["Motion detected"] * 2


def test_a_state_is_told_when_it_is_another_of_that_sensor_and_node() -> None:
    sensors = Sensors()
    said = [
        sensors.take(node, words)
        for node, words in [
            (RIDGE, b"Door state: 0"),
            (RIDGE, b"Door state: 0"),
            (MARKET, b"Door state: 0"),
            (RIDGE, b"Gate state: 0"),
            (RIDGE, b"Door state: 1"),
            (RIDGE, b"Door state: 1"),
            (RIDGE, b"Door detected"),
            (RIDGE, b"Door state: 0"),
        ]
    ]
    again = NoReport.UNCHANGED
    assert said == [
        "Door state: 0",
        again,
        "Door state: 0",
        "Gate state: 0",
        "Door state: 1",
        again,
        "Door detected",
        "Door state: 0",
    ]


def test_a_report_without_words_is_none() -> None:
    assert Sensors().take(RIDGE, b"\a \0") is NoReport.EMPTY


def test_only_so_many_states_are_remembered_and_the_oldest_is_told_anew() -> None:
    sensors = Sensors(limit=2)
    for node in (1, 2, 3):
        sensors.take(node, b"Door state: 0")
    assert sensors.take(3, b"Door state: 0") is NoReport.UNCHANGED
    assert sensors.take(1, b"Door state: 0") == "Door state: 0"
