# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's gateway box writes a configuration that the gateway accepts, and says why it didn't start."""

from __future__ import annotations

import stat

import pytest

from bridges.matrix import kind as matrix
from bridges.meshtastic import kind as meshtastic
from bridges.sim.box import BoxFailed, GatewayBox, Wiring
from gateway.config import load
from gateway.model import Address, BridgeName, Level, SenderId
from gateway.registry import Registry

REGISTRY = Registry({"matrix": lambda: matrix, "meshtastic": lambda: meshtastic})
WIRING = Wiring(
    homeserver="http://127.0.0.1:8008",
    user_id="@crossband:town.test",
    access_token="syt_secret",
    room="#town:town.test",
    radio="serial:/dev/radio",
)


def test_its_configuration_joins_room_and_radio_both_ways(tmp_path):
    box = GatewayBox(tmp_path, WIRING, port=8123)
    settings = load(box.write_config(), {}, registry=REGISTRY)

    room, channel = Address(BridgeName("home"), "#town:town.test"), Address(BridgeName("radio"), "LongFast")
    assert [(set(route.sources), set(route.targets)) for route in settings.routes] == [({room, channel},) * 2]
    assert settings.bridges[BridgeName("radio")].direct == room
    assert settings.api.listen == "127.0.0.1:8123"
    assert settings.gateway.control_socket.parent.parent == tmp_path
    assert settings.permissions.level_of(SenderId("!a1b2c301")) == Level.TRANSMIT


def test_the_token_is_in_a_private_file_of_its_own(tmp_path):
    config = GatewayBox(tmp_path, WIRING).write_config()
    token = tmp_path / "secrets" / "matrix.token"

    assert "syt_secret" not in config.read_text()
    assert token.read_text() == "syt_secret\n"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert "syt_secret" not in repr(WIRING)


async def test_a_gateway_that_cannot_start_says_why_and_leaves_nothing(tmp_path):
    box = GatewayBox(tmp_path, WIRING)
    box.folder.joinpath("crossband.toml").write_text("[gateway]\nnam = 'x'\n")

    with pytest.raises(BoxFailed, match=r"ended with 2[\s\S]*nam"):
        async with box:
            pytest.fail("it started")

    assert box.pid is None
    assert await box.stop() is None
