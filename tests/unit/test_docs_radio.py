# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/radio.md says what is so: its figures, its keys, its warnings."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from bridges.meshtastic import cautions
from bridges.meshtastic.airtime import PRESETS, airtime_s
from bridges.meshtastic.alterations import SETTINGS

TEXT = (Path(__file__).parents[2] / "docs/radio.md").read_text()
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


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_is_in_the_manual(setting):
    assert f"`{setting}`" in TEXT


def test_every_warning_is_in_the_manual_and_no_other():
    codes = set(re.findall(r'Caution\(\s*"(\w+)"', inspect.getsource(cautions)))
    section = TEXT[TEXT.index("\n## Warnings") : TEXT.index("\n## Presets")]
    told = {code for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for code in re.findall(r"`(\w+)`", row)}

    assert codes
    assert told == codes
