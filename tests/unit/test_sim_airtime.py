# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from bridges.sim.airtime import PRESETS, airtime_s, retry_wait_s

TABLE_MS = {
    "SHORT_TURBO": (35, 53, 90),
    "SHORT_FAST": (71, 107, 181),
    "MEDIUM_TURBO": (116, 172, 285),
    "SHORT_SLOW": (126, 188, 321),
    "MEDIUM_FAST": (232, 345, 570),
    "MEDIUM_SLOW": (423, 628, 1037),
    "LONG_TURBO": (574, 869, 1459),
    "LONG_FAST": (805, 1174, 1911),
    "LONG_MODERATE": (2560, 4133, 7016),
    "LONG_SLOW": (4858, 7479, 12722),
}


@pytest.mark.parametrize("name", PRESETS)
def test_airtime_is_what_was_tabled(name):
    preset = PRESETS[name]

    assert TABLE_MS[name] == tuple(round(airtime_s(preset, size) * 1000) for size in (50, 100, 200))


def test_encryption_for_one_and_references_cost_airtime():
    preset = PRESETS["LONG_FAST"]
    plain = airtime_s(preset, 100)

    assert airtime_s(preset, 100, reply=True, emoji=True) == airtime_s(preset, 110)
    assert airtime_s(preset, 100, pki=True) == airtime_s(preset, 112) > plain


@pytest.mark.parametrize(("name", "size", "low_s", "high_s"), [("LONG_FAST", 20, 21, 25), ("LONG_SLOW", 200, 120, 160)])
def test_three_tries_take_as_long_as_measured(name, size, low_s, high_s):
    preset = PRESETS[name]
    on_air = airtime_s(preset, size)

    assert low_s < 3 * (on_air + retry_wait_s(preset, on_air)) < high_s
