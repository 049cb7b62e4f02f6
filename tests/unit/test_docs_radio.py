# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/radio.md says what is so: its figures, its keys, its warnings."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from bridges.meshtastic import cautions
from bridges.meshtastic.airtime import airtime_s
from bridges.meshtastic.alterations import SETTINGS
from bridges.meshtastic.config import KEYS
from bridges.meshtastic.modem import PRESETS
from bridges.meshtastic.regions import ALL_THE_TIME, DUTY_CYCLE_PERCENT, duty_cycle_percent

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/radio.md").read_text()
EXAMPLE = (ROOT / "deploy/crossband.toml").read_text()
ROW = re.compile(r"^\| `(\w+)` \| SF(\d+) / ([\d.]+) kHz / 4:(\d) \| ([\d.]+) \|.*\| (\d+) \|$", re.MULTILINE)


@pytest.mark.parametrize("row", ROW.findall(TEXT), ids=lambda row: row[0])
def test_the_table_of_presets_is_what_is_reckoned_with(row):
    name, factor, bandwidth, rate, kbps, airtime_ms = row
    modem = PRESETS[name]

    assert (modem.spreading_factor, modem.bandwidth_khz, modem.coding_rate) == (
        int(factor),
        float(bandwidth),
        int(rate),
    )
    assert round(1000 * airtime_s(modem, 100)) == int(airtime_ms)
    bits = modem.spreading_factor * modem.bandwidth_khz / 2**modem.spreading_factor * 4 / modem.coding_rate
    assert round(bits, 2) == float(kbps)


def test_the_table_has_the_presets():
    assert len(ROW.findall(TEXT)) >= 10


def test_the_table_of_regions_is_what_is_kept_to():
    section = _section("What the law allows")
    told = {
        region: float(percent or ALL_THE_TIME)
        for regions, percent in re.findall(r"^\| (`[^|]*) \| [^|]* \| (?:([\d.]+) %|no limit)", section, re.MULTILINE)
        for region in re.findall(r"`(\w+)`", regions)
    }

    assert told == {region: duty_cycle_percent(region) for region in told}
    assert set(DUTY_CYCLE_PERCENT) <= set(told)


@pytest.mark.parametrize("key", sorted(KEYS - {"kind"}))
def test_every_key_of_a_radios_table_is_in_the_manual_and_in_the_example(key):
    table = "\n".join(row for row in _section("The radio's table").splitlines() if row.startswith("| `"))

    assert f"`{key}`" in table
    assert re.search(rf"\b{key} = ", EXAMPLE)


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_is_in_the_manual(setting):
    assert f"`{setting}`" in TEXT


def test_every_warning_is_in_the_manual_and_no_other():
    codes = set(re.findall(r'Caution\(\s*"(\w+)"', inspect.getsource(cautions)))
    section = _section("Warnings")
    told = {code for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for code in re.findall(r"`(\w+)`", row)}

    assert codes
    assert told == codes


def _section(title: str) -> str:
    start = TEXT.index(f"\n## {title}\n")
    return TEXT[start : TEXT.index("\n## ", start + 1)]
