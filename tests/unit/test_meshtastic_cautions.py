# SPDX-License-Identifier: GPL-3.0-or-later
"""What about a radio's settings is to be mended: a table, and nothing said of a radio that is well set."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridges.meshtastic.cautions import cautions, version_of
from bridges.meshtastic.facts import ChannelFacts, RadioFacts

TOWN = ChannelFacts(
    index=0,
    name="Town",
    role="primary",
    key="256 bit, 00000000",
    public=False,
    bridged=True,
    uplink=False,
    downlink=False,
    position_precision=0,
)
WELL = RadioFacts(
    node="!a1b2c300",
    long_name="Hilltop",
    short_name="HILL",
    licensed=False,
    hardware="RAK4631",
    role="CLIENT",
    firmware="2.7.26.54e0d8d",
    region="EU_868",
    preset="LONG_FAST",
    spreading_factor=11,
    bandwidth_khz=250,
    coding_rate=5,
    hop_limit=3,
    tx_enabled=True,
    tx_power_dbm=0,
    frequency_slot=0,
    override_frequency_mhz=0.0,
    override_duty_cycle=False,
    ignore_mqtt=True,
    ok_to_mqtt=False,
    mqtt=False,
    mqtt_encrypted=True,
    mqtt_map=False,
    serial_console=True,
    serial_module=False,
    debug_log=False,
    managed=False,
    admin_keys=0,
    has_keys=True,
    fixed_position=False,
    gps=False,
    clock_unset=False,
    clock_off_s=0,
    channels=(TOWN,),
)


def test_a_radio_that_is_well_set_is_left_in_peace():
    assert cautions(WELL) == ()


@pytest.mark.parametrize(
    ("facts", "codes"),
    [
        ({"region": "UNSET", "tx_enabled": False}, ["region_unset"]),
        ({"tx_enabled": False}, ["tx_off"]),
        ({"managed": True}, ["managed"]),
        ({"clock_unset": True, "clock_off_s": None}, ["clock_unset"]),
        ({"clock_off_s": None}, []),
        ({"clock_off_s": 119}, []),
        ({"clock_off_s": 120}, ["clock_wrong"]),
        ({"clock_off_s": -120}, ["clock_wrong"]),
        ({"firmware": "2.4.3.91d6612"}, ["firmware_without_keys"]),
        ({"firmware": "2.6.10.9ce4455"}, ["firmware_weak_keys"]),
        ({"firmware": "2.6.11.60ec05e"}, []),
        ({"firmware": "3.0.0"}, []),
        ({"firmware": "built by hand"}, []),
        ({"has_keys": False}, ["no_keys"]),
        ({"has_keys": False, "licensed": True}, []),
        ({"override_duty_cycle": True}, ["duty_cycle_overridden"]),
        ({"hop_limit": 4}, ["many_hops"]),
        ({"role": "ROUTER"}, ["role_relays_first"]),
        ({"role": "REPEATER"}, ["role_relays_first"]),
        ({"role": "TRACKER"}, ["role_odd"]),
        ({"role": "CLIENT_MUTE"}, []),
        ({"mqtt": True, "mqtt_encrypted": False}, ["mqtt_in_clear"]),
        ({"mqtt_map": True}, ["mqtt_map"]),
        ({"debug_log": True}, ["debug_log"]),
        ({"serial_module": True}, ["serial_module"]),
        ({"channels": (replace(TOWN, public=True),)}, ["public_channel"]),
        ({"channels": (replace(TOWN, public=True, bridged=False),)}, []),
        ({"channels": (replace(TOWN, uplink=True),)}, ["uplink"]),
        ({"channels": (replace(TOWN, uplink=True, bridged=False),)}, []),
        ({"channels": (replace(TOWN, downlink=True),)}, []),
        ({"channels": (replace(TOWN, downlink=True),), "ignore_mqtt": False}, ["downlink"]),
        (
            {"channels": (replace(TOWN, public=True, bridged=False, position_precision=32),)},
            ["exact_position"],
        ),
        ({"channels": (replace(TOWN, public=True, bridged=False, position_precision=13),)}, []),
    ],
)
def test_what_is_to_mend_is_named(facts, codes):
    assert [one.code for one in cautions(replace(WELL, **facts))] == codes


def test_words_name_the_channel_and_the_mend():
    (caution,) = cautions(replace(WELL, region="UNSET"))
    assert "set region=" in str(caution)
    (caution,) = cautions(replace(WELL, channels=(replace(TOWN, uplink=True),)))
    assert "channel 0 (Town)" in str(caution)


@pytest.mark.parametrize(("text", "version"), [("2.7.26.54e0d8d", (2, 7, 26)), ("2.5", (2, 5, 0)), ("", None)])
def test_a_firmwares_version_is_read(text, version):
    assert version_of(text) == version
