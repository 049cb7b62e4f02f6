# SPDX-License-Identifier: GPL-3.0-or-later
"""The LAN's table says what is wrong with it, and which ports it holds."""

import pytest

from bridges.lan import kind
from bridges.lan.config import LanConfig
from bridges.lan.page_rules import Pace
from bridges.lan.places import malformed
from gateway.model import ConfigError
from gateway.registry import Registry


def test_the_kind_is_installed_under_its_name() -> None:
    assert Registry.installed().kind("lan") is kind


def test_a_table_with_nothing_in_it_opens_no_port_and_keeps_a_month() -> None:
    config = LanConfig.read({"kind": "lan"})
    assert (config.page, config.sync, config.hosts, config.discover) == ("", "", (), True)
    assert config.retention_s == 30 * 86_400
    assert kind.check({"kind": "lan"}) == frozenset()


def test_the_page_and_the_way_to_other_boxes_hold_the_ports_they_are_given() -> None:
    table = {"kind": "lan", "page": "0.0.0.0:8081", "sync": "0.0.0.0:8448", "hosts": ["Chat.lan"]}
    assert kind.check(table) == {"tcp:0.0.0.0:8081", "tcp:0.0.0.0:8448"}
    assert LanConfig.read(table).hosts == ("chat.lan",)


def test_ports_that_the_system_chooses_are_held_by_nobody() -> None:
    assert kind.check({"kind": "lan", "page": "127.0.0.1:0", "sync": "127.0.0.1:0"}) == frozenset()


def test_peers_and_interfaces_are_kept_as_written_and_once() -> None:
    table = {"peers": ["valley.lan:8448", "[fd00::2]:8448", "valley.lan:8448"], "interfaces": ["wlan0"]}
    config = LanConfig.read(table)
    assert config.peers == ("valley.lan:8448", "[fd00::2]:8448")
    assert config.interfaces == ("wlan0",)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"pages": "0.0.0.0:8081"}, "pages"),
        ({"page": "8081"}, "page"),
        ({"page": 8081}, "page"),
        ({"page": "0.0.0.0:8081", "sync": "0.0.0.0:8081"}, "sync"),
        ({"hosts": "chat.lan"}, "hosts"),
        ({"hosts": ["chat.lan:80"]}, "hosts"),
        ({"hosts": ["chat"] * 33}, "hosts"),
        ({"peers": "valley.lan:8448"}, "peers"),
        ({"peers": ["valley.lan"]}, "peers"),
        ({"peers": ["valley.lan:0"]}, "peers"),
        ({"peers": [f"10.0.0.{n}:8448" for n in range(65)]}, "peers"),
        ({"interfaces": ["wlan 0"]}, "interfaces"),
        ({"discover": "yes"}, "discover"),
        ({"retention": "6h"}, "retention"),
        ({"retention": 30}, "retention"),
    ],
)
def test_what_is_wrong_is_named_with_its_key_and_a_mend(table: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as found:
        kind.check({"kind": "lan", **table})
    assert found.value.key == key
    assert found.value.mend


@pytest.mark.parametrize("conversation", ["~ali", "~ali@", "~@hilltop", "ab" * 16, "x" * 256])
def test_what_is_neither_a_room_nor_a_person_is_refused(conversation: str) -> None:
    assert malformed(conversation)


@pytest.mark.parametrize("conversation", ["town", "Marktplatz 🎪", "~ali@hilltop"])
def test_rooms_and_people_are_places(conversation: str) -> None:
    assert malformed(conversation) == ""


def test_how_often_people_at_the_page_speak_has_careful_defaults_and_is_set() -> None:
    assert LanConfig.read({"kind": "lan"}).pace == Pace(radio_s=60, radio_burst=3, slow_s=0)
    table = {"kind": "lan", "radio_pace": "5m", "radio_burst": 1, "slow": "30s"}
    assert LanConfig.read(table).pace == Pace(radio_s=300, radio_burst=1, slow_s=30)
    assert LanConfig.read({"kind": "lan", "slow": "0s"}).pace.slow_s == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("radio_pace", "0s"),
        ("radio_pace", 60),
        ("radio_burst", 0),
        ("radio_burst", True),
        ("radio_burst", 101),
        ("slow", "x"),
    ],
)
def test_a_pace_that_is_none_names_its_key(key: str, value: object) -> None:
    with pytest.raises(ConfigError) as raised:
        LanConfig.read({"kind": "lan", key: value})
    assert raised.value.key == key
