# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.meshtastic import kind
from bridges.meshtastic.config import MeshtasticConfig
from bridges.meshtastic.connection import SerialAuto, SerialPath, Tcp, Udp, parse_connection
from bridges.meshtastic.modem import PRESETS
from gateway.model import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("serial:auto", SerialAuto()),
        ("serial:/dev/serial/by-id/usb-1", SerialPath("/dev/serial/by-id/usb-1")),
        ("udp:eth0", Udp(("eth0",))),
        ("udp:eth0,wlan0.7", Udp(("eth0", "wlan0.7"))),
        ("tcp:radio.local", Tcp("radio.local", 4403)),
        ("tcp:10.0.0.7:5000", Tcp("10.0.0.7", 5000)),
        ("tcp:[fd00::7]", Tcp("fd00::7", 4403)),
        ("tcp:[fd00::7]:5000", Tcp("fd00::7", 5000)),
    ],
)
def test_a_connection_is_read_and_written_back(text: str, expected: object):
    assert parse_connection(text) == expected
    assert parse_connection(str(expected)) == expected


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({}, "connection"),
        ({"connection": "serial:auto", "positions": "yes"}, "positions"),
        ({"connection": "serial:auto", "positions": True}, "positions"),
        ({"connection": "serial:auto", "positions_every": 10}, "positions_every"),
        ({"connection": "serial:auto", "answers": "ping"}, "answers"),
        ({"connection": "serial:auto", "answers": ["pong"]}, "answers"),
        ({"connection": "serial:auto", "answers": [["ping"]]}, "answers"),
        ({"connection": "serial:auto", "telemetry_every": "often"}, "telemetry_every"),
        ({"connection": 7}, "connection"),
        ({"connection": "serial"}, "connection"),
        ({"connection": "serial:ttyUSB0"}, "connection"),
        ({"connection": "usb:1"}, "connection"),
        ({"connection": "udp:"}, "connection"),
        ({"connection": "udp:eth0,"}, "connection"),
        ({"connection": "udp:eth 0"}, "connection"),
        ({"connection": "udp:eth0/24"}, "connection"),
        ({"connection": "udp:eth0:1"}, "connection"),
        ({"connection": "udp:.."}, "connection"),
        ({"connection": "udp:an-interface-16b"}, "connection"),
        ({"connection": "udp:eth0,eth0"}, "connection"),
        ({"connection": "udp:eth0", "preset": "LONGFAST"}, "preset"),
        ({"connection": "udp:eth0", "region": "Europe"}, "region"),
        ({"connection": "udp:eth0", "long_name": "x" * 40}, "long_name"),
        ({"connection": "udp:eth0", "short_name": "HILLS"}, "short_name"),
        ({"connection": "udp:eth0", "short_name": "A\nB"}, "short_name"),
        ({"connection": "udp:eth0", "channels_file": 1}, "channels_file"),
        ({"connection": "serial:auto", "region": "EU_868"}, "region"),
        ({"connection": "tcp:host", "channels_file": "x"}, "channels_file"),
        ({"connection": "tcp:"}, "connection"),
        ({"connection": "tcp:host:"}, "connection"),
        ({"connection": "tcp:host:0"}, "connection"),
        ({"connection": "tcp:host:99999"}, "connection"),
        ({"connection": "tcp:[fd00::7"}, "connection"),
        ({"connection": "tcp:[fd00::7]x"}, "connection"),
        ({"connection": "serial:auto", "hops": 3}, "hops"),
        ({"connection": "serial:auto", "node": "a1b2c301"}, "node"),
        ({"connection": "serial:auto", "node": "!ffffffff"}, "node"),
        ({"connection": "serial:auto", "node": 0xA1B2C301}, "node"),
        ({"connection": "udp:eth0", "node": "!a1b2c301"}, "node"),
        ({"connection": "serial:auto", "hop_limit": 8}, "hop_limit"),
        ({"connection": "serial:auto", "hop_limit": True}, "hop_limit"),
        ({"connection": "serial:auto", "pace_s": 1.9}, "pace_s"),
        ({"connection": "serial:auto", "pace_s": "slow"}, "pace_s"),
        ({"connection": "serial:auto", "max_parts": 0}, "max_parts"),
        ({"connection": "serial:auto", "correct_within_s": -1}, "correct_within_s"),
        ({"connection": "serial:auto", "correct_within_s": True}, "correct_within_s"),
        ({"connection": "serial:auto", "airtime_share": "a lot"}, "airtime_share"),
        ({"connection": "serial:auto", "airtime_share": 0}, "airtime_share"),
        ({"connection": "serial:auto", "airtime_share": "101%"}, "airtime_share"),
        ({"connection": "serial:auto", "airtime_share": "nan%"}, "airtime_share"),
        ({"connection": "serial:auto", "airtime_share": True}, "airtime_share"),
        ({"connection": "serial:auto", "want_ack": 1}, "want_ack"),
        ({"connection": "serial:auto", "answer_direct": "yes"}, "answer_direct"),
        ({"connection": "serial:auto", "direct": 1}, "direct"),
    ],
)
def test_what_is_wrong_is_named_with_its_key_and_a_mend(table: dict[str, Any], key: str):
    with pytest.raises(ConfigError) as caught:
        kind.check(table)
    assert caught.value.key == key
    assert caught.value.mend


@given(st.dictionaries(st.text(max_size=12), st.none() | st.integers() | st.text() | st.lists(st.integers())))
def test_no_table_is_more_than_a_configuration_error(table: dict[str, Any]):
    with contextlib.suppress(ConfigError):
        kind.check(table)


@given(st.text())
def test_no_spelling_is_more_than_a_configuration_error(text: str):
    for scheme in ("", "tcp:", "serial:", "tcp:["):
        with contextlib.suppress(ConfigError):
            parse_connection(scheme + text)


def test_defaults_are_those_of_the_facts():
    config = MeshtasticConfig.parse({"kind": "meshtastic", "connection": "serial:auto", "direct": "home/#a:b"})

    assert (config.hop_limit, config.want_ack, config.pace_s, config.max_parts) == (3, True, 2.3, 4)
    assert not config.answer_direct


@pytest.mark.parametrize(
    ("written", "percent"), [("5%", 5.0), ("2.5 %", 2.5), ("0.5", 0.5), (10, 10.0), (0.1, 0.1), ("100%", 100.0)]
)
def test_a_share_of_the_air_is_in_percent_however_it_is_written(written: object, percent: float):
    config = MeshtasticConfig.parse({"connection": "serial:auto", "airtime_share": written})

    assert config.airtime_share_percent == percent
    assert MeshtasticConfig.parse({"connection": "serial:auto"}).airtime_share_percent is None


def test_a_port_is_held_alone():
    assert kind.check({"connection": "tcp:host"}) == kind.check({"connection": "tcp:host:4403"}) == {"tcp:host:4403"}


def test_a_host_is_the_same_however_it_is_written():
    assert kind.check({"connection": "tcp:Radio.Local"}) == kind.check({"connection": "tcp:radio.local:4403"})


def test_a_search_for_one_node_holds_the_node_and_not_the_search():
    one = kind.check({"connection": "serial:auto", "node": "!a1b2c301"})
    other = kind.check({"connection": "serial:auto", "node": "!A1B2C302"})

    assert one == {"node !a1b2c301"}
    assert not one & other
    assert one & kind.check({"connection": "tcp:host", "node": "!a1b2c301"})


def test_two_searches_for_any_board_are_told_to_name_theirs():
    (claim,) = kind.check({"connection": "serial:auto"})

    assert 'node = "!a1b2c301"' in kind.apart(claim)
    assert kind.apart("tcp:host:4403") == "Give each its own"


def test_checking_a_configuration_loads_no_protobufs():
    code = (
        "import sys; from bridges.meshtastic import kind; kind.check({'connection': 'serial:auto'});"
        "kind.check({'connection': 'udp:eth0', 'region': 'EU_868'});"
        "sys.exit(any(m.split('.')[0] in ('meshtastic', 'google', 'serial', 'cryptography') for m in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("conversation", "expected"),
    [("!a1b2c301", True), ("!A1B2C301", False), ("!a1b2c3", False), ("LongFast", False), ("#1", False), ("", False)],
)
def test_a_direct_chat_is_known_by_its_spelling(conversation: str, expected: bool):
    assert kind.is_direct(conversation) is expected
    assert kind.in_clear


def test_two_nodes_of_ours_on_one_interface_are_found():
    assert kind.check({"connection": "udp:eth0,wlan0"}) == {"udp:eth0", "udp:wlan0"}


def test_a_node_of_ours_may_have_every_preset_that_radios_have():
    for name in PRESETS:
        kind.check({"connection": "udp:eth0", "preset": name})
