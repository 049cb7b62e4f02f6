# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the configuration's addresses are one person's, by the kinds of their bridges."""

from __future__ import annotations

import pytest

from bridges.matrix import kind as matrix
from bridges.meshtastic import kind as meshtastic
from gateway.config import load
from gateway.kinds import is_direct, routing_table
from gateway.model import Address, BridgeName
from gateway.registry import Registry

KINDS = {BridgeName("home"): matrix, BridgeName("radio"): meshtastic}
CONFIG = """
[gateway]
name = "box"
data_dir = "data"
[bridges.home]
kind = "matrix"
homeserver = "https://matrix.example.org"
user_id = "@crossband:example.org"
access_token_file = "token"
[bridges.radio]
kind = "meshtastic"
connection = "tcp:127.0.0.1"
direct = "home/@operator:example.org"
[[routes]]
name = "town"
join = ["home/#town:example.org", "radio/LongFast"]
[[routes]]
name = "kim"
join = ["home/!room", "radio/!a1b2c301"]
[[routes]]
name = "kim-and-all"
join = ["home/#town:example.org", "radio/LongFast", "radio/!a1b2c301"]
[[routes]]
name = "to-kim"
from = ["home/!room"]
to = ["radio/!a1b2c301"]
[[routes]]
name = "operator"
join = ["home/@operator:example.org", "radio/LongFast"]
"""


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("radio/!a1b2c301", True),
        ("radio/LongFast", False),
        ("home/!room", False),
        ("home/@ali:example.org", False),  # a homeserver acknowledges for nobody
        ("gone/!a1b2c301", False),
    ],
)
def test_only_what_a_far_end_acknowledges_ends_when_it_has(address, expected):
    assert is_direct(KINDS, Address.parse(address)) is expected


def test_a_route_of_one_person_and_one_other_conversation_both_ways_is_a_direct_chat(tmp_path):
    path = tmp_path / "crossband.toml"
    path.write_text(CONFIG)
    (tmp_path / "token").write_text("secret")
    settings = load(path, {}, registry=Registry({"matrix": lambda: matrix, "meshtastic": lambda: meshtastic}))
    table = routing_table(settings, KINDS)

    assert [route.name for route in table.routes if route.direct] == ["kim", "operator"]
    assert table.direct == {"radio": Address.parse("home/@operator:example.org")}
    assert table.chats(Address.parse("radio/!a1b2c301")) == (Address.parse("home/!room"),)
