# SPDX-License-Identifier: GPL-3.0-or-later
"""The LAN's table says what is wrong with it, and which ports it holds."""

import pytest

from bridges.lan import kind
from bridges.lan.config import LanConfig
from bridges.lan.places import malformed
from gateway.model import ConfigError
from gateway.registry import Registry


def test_the_kind_is_installed_under_its_name() -> None:
    assert Registry.installed().kind("lan") is kind


def test_a_table_with_nothing_in_it_has_the_ports_of_the_design_and_keeps_a_month() -> None:
    config = LanConfig.read({"kind": "lan"})
    assert (config.page, config.sync, config.discover, config.retention_s) == (
        "0.0.0.0:8081",
        "0.0.0.0:8448",
        True,
        30 * 86_400,
    )
    assert kind.check({"kind": "lan"}) == {"tcp:0.0.0.0:8081", "tcp:0.0.0.0:8448"}


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
        ({"sync": "0.0.0.0:8081"}, "sync"),
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
