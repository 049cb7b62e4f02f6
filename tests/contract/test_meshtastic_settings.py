# SPDX-License-Identifier: GPL-3.0-or-later
"""How a radio is set: read and shown without a word to it, and changed only when somebody says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from meshtastic.protobuf.admin_pb2 import AdminMessage
from meshtastic.protobuf.channel_pb2 import Channel
from meshtastic.protobuf.config_pb2 import Config

from bridges.meshtastic.bridge import MeshtasticBridge
from bridges.sim import BROADCAST, Identity, Settings
from bridges.sim.admin import Admin
from bridges.sim.packets import packet_of, text_data
from bridges.sim.preferences import secret
from gateway.model import Adjustable, BridgeError, Declined, LinkDown
from tests.contract.harness_meshtastic import LONG_FAST, Air, air, bridge_on, said

LoRa = Config.LoRaConfig


@asynccontextmanager
async def kept_up(bridge: MeshtasticBridge) -> AsyncIterator[None]:
    """Enter the bridge again whenever its link is lost, as the gateway's supervisor does."""

    async def keep() -> None:
        while True:
            try:
                async with bridge:
                    up.set()
                    async for _ in bridge.receive():
                        pass
            except LinkDown:
                await asyncio.sleep(0.02)

    up = asyncio.Event()
    task = asyncio.create_task(keep())
    try:
        async with asyncio.timeout(10):
            await up.wait()
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def admin_of(network: Air) -> Admin:
    return network.port.firmware.admin


def overheard(network: Air) -> list[bytes]:
    """Return, from now on, what the client says to the node."""
    heard: list[bytes] = []
    receive = network.port.firmware.receive

    def listen(line: Any, payload: bytes, now: float) -> None:
        heard.append(payload)
        receive(line, payload, now)

    network.port.firmware.receive = listen  # type: ignore[method-assign]
    return heard


@pytest.mark.parametrize("tcp", [False, True])
async def test_settings_are_shown_without_a_key_a_password_or_a_word_to_the_radio(tmp_path: Path, tcp: bool):
    async with air(tmp_path, tcp=tcp) as network:
        bridge = bridge_on(network, tmp_path, routed=("LongFast",))
        assert isinstance(bridge, Adjustable)
        heard = overheard(network)
        async with bridge:
            told = bridge.settings()
            described = bridge.describe()
        own = network.mesh.gateway.identity
        saved = admin_of(network).saved

    assert (told["node"], told["long_name"], told["region"]) == (own.id, own.long_name, "US")
    assert (told["preset"], told["hop_limit"], told["tx_enabled"]) == ("LONG_FAST", 3, True)
    assert [(one["name"], one["key"].split(",")[0], one["bridged"]) for one in told["channels"]] == [
        ("LongFast", "default (public)", True),
        ("Town", "128 bit", False),
    ]
    assert "public_channel" in [one["code"] for one in told["warnings"]]
    assert "key that everybody has" in described["warnings"]
    shown = json.dumps(told) + repr(described)
    for hidden in (secret(own, "private key"), saved.channels[1].settings.psk):
        assert hidden.hex() not in shown
        assert repr(hidden)[2:-1] not in shown
    assert saved.modules["mqtt"].mqtt.password not in shown
    assert not any(b"\x08\x06" in payload[:40] and payload[:1] == b"\x0a" for payload in heard)
    assert admin_of(network).orders == []


async def test_the_private_key_is_nowhere_in_what_the_bridge_keeps(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge:
            kept = vars(bridge._parts.station.profile)
        own = network.mesh.gateway.identity
        wifi = admin_of(network).saved.sections["network"].network.wifi_psk

    held = [
        value.SerializeToString() if hasattr(value, "SerializeToString") else repr(value) for value in kept.values()
    ]
    assert not any(secret(own, "private key") in value for value in held if isinstance(value, bytes))
    assert not any(
        repr(secret(own, "private key")) in value or wifi in value for value in held if isinstance(value, str)
    )


@pytest.mark.parametrize("tcp", [False, True])
async def test_a_preset_is_written_survives_the_restart_and_is_read_back(tmp_path: Path, tcp: bool):
    async with air(tmp_path, tcp=tcp) as network:
        bridge = bridge_on(network, tmp_path)
        async with kept_up(bridge):
            (planned,) = bridge.alterations({"preset": "MediumFast"})
            before = list(admin_of(network).orders)
            done = await bridge.adjust({"preset": "MediumFast"})
            told = bridge.settings()
        lora = admin_of(network).saved.sections["lora"].lora
        orders = admin_of(network).orders

    assert before == []
    assert (planned.was, planned.becomes) == ("LONG_FAST", "MEDIUM_FAST")
    assert "MEDIUM_FAST" in planned.cuts_off
    assert list(done) == [planned]
    assert told["preset"] == "MEDIUM_FAST"
    assert (lora.modem_preset, lora.hop_limit, lora.region) == (LoRa.MEDIUM_FAST, 3, LoRa.US)
    assert orders == ["get_config_request", "set_config", "get_config_request"]


async def test_several_sections_are_one_transaction_with_one_restart(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
        wanted = {
            "long_name": "Summit gateway",
            "hop_limit": "4",
            "channel.2.name": "Wardens",
            "channel.2.key": key,
            "channel.2.role": "secondary",
        }
        async with kept_up(bridge):
            done = await bridge.adjust(wanted)
            told = bridge.settings()
            again = await bridge.adjust(wanted)
        admin = admin_of(network)

    assert {each.key for each in done} == set(wanted)
    assert again == []
    assert key not in repr(done)
    assert bytes(range(32)).hex() not in repr(done)
    assert admin.saved.channels[2].settings.psk == bytes(range(32))
    assert (told["long_name"], told["hop_limit"]) == ("Summit gateway", 4)
    assert [one["name"] for one in told["channels"]] == ["LongFast", "Town", "Wardens"]
    assert bridge.conversations() == ["LongFast", "Town", "Wardens"]
    assert admin.orders.count("begin_edit_settings") == admin.orders.count("commit_edit_settings") == 1
    assert admin.dropped == 0


async def test_what_the_radio_has_is_on_the_air_before_it_restarts_and_what_comes_meanwhile_waits(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge, firmware = bridge_on(network, tmp_path), network.port.firmware
        rooms: list[int] = []
        obey = admin_of(network)._obey

        def noted(name: str, message: AdminMessage, now: float) -> int:
            rooms.append(firmware.radio.room())
            return obey(name, message, now)

        admin_of(network)._obey = noted  # type: ignore[method-assign]
        async with kept_up(bridge):
            for number in range(1, 6):
                packet = packet_of(text_data(f"{number}"), sender=firmware.radio.number, to=BROADCAST, id=number)
                firmware.radio.send(packet, network.mesh.now)
            change = asyncio.create_task(bridge.adjust({"short_name": "SUM"}))
            async with asyncio.timeout(10):
                while not bridge._parts.transmitter._turn.locked():
                    await asyncio.sleep(0.005)
            await bridge.send(said("meanwhile"), LONG_FAST, key="k1")
            assert change.done()
            ridge = network.mesh["RDGE"]
            await ridge.wait_heard(lambda heard: heard.text == "meanwhile")

    assert rooms == [firmware.radio.depth]
    assert [heard.text for heard in ridge.heard if heard.text in "12345"] == ["1", "2", "3", "4", "5"]


async def test_a_radio_that_does_not_get_rid_of_its_texts_is_not_restarted(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        network.port.firmware.radio.room = lambda: 3  # type: ignore[method-assign]
        async with bridge:
            with pytest.raises(Declined, match="texts to send yet"):
                await bridge.adjust({"hop_limit": "5"})
        assert admin_of(network).orders == ["get_config_request"]


async def test_a_channel_is_changed_without_a_restart(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge:
            await bridge.adjust({"channel.1.role": "disabled"})
            assert bridge.conversations() == ["LongFast"]
        assert admin_of(network).saved.channels[1].role == Channel.Role.DISABLED


async def test_firmware_that_takes_it_up_without_a_restart_is_waited_for_and_read(tmp_path: Path):
    async with air(tmp_path) as network:
        admin_of(network).lora_restarts = False
        bridge = bridge_on(network, tmp_path)
        async with bridge:
            await bridge.adjust({"tx": "off"})
            assert bridge.settings()["tx_enabled"] is False


async def test_a_firmware_that_asks_for_the_sessions_passkey_gets_it(tmp_path: Path):
    async with air(tmp_path) as network:
        admin_of(network).demands_passkey = True
        bridge = bridge_on(network, tmp_path)
        async with kept_up(bridge):
            await bridge.adjust({"short_name": "SUM"})
        assert admin_of(network).saved.owner.short_name == "SUM"


async def test_what_the_radio_does_not_take_is_said(tmp_path: Path):
    async with air(tmp_path) as network:
        admin_of(network).refused_regions = {"EU_868"}
        bridge = bridge_on(network, tmp_path)
        async with kept_up(bridge):
            with pytest.raises(Declined, match="kept region US"):
                await bridge.adjust({"region": "EU_868"})


async def test_a_managed_or_silent_radio_is_said_and_nothing_is_written(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        admin = admin_of(network)
        admin.is_deaf = True
        async with bridge:
            with pytest.raises(BridgeError, match="did not answer"):
                await bridge.adjust({"hop_limit": "5"})
        admin.is_deaf = False
        admin.now_set.sections["security"].security.is_managed = True
        async with bridge:
            with pytest.raises(Declined, match="managed"):
                await bridge.adjust({"hop_limit": "5"})
        assert not any(order.startswith("set_") for order in admin.orders)


async def test_a_change_that_breaks_off_in_the_middle_is_not_saved_and_says_so(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        admin = admin_of(network)
        obey = admin._obey

        def pulled(name: str, message: AdminMessage, now: float) -> int:
            if name != "set_owner":
                return obey(name, message, now)
            network.port.reboot()
            return 0

        admin._obey = pulled  # type: ignore[method-assign]
        async with kept_up(bridge):
            with pytest.raises(BridgeError, match="broke off in the middle"):
                await bridge.adjust({"hop_limit": "5", "long_name": "Summit"})
            admin._obey = obey  # type: ignore[method-assign]
            async with asyncio.timeout(10):
                while bridge._connector.link is None or not bridge._connector.link.is_ready:
                    await asyncio.sleep(0.02)
            told = bridge.settings()

    assert (told["hop_limit"], admin.saved.sections["lora"].lora.hop_limit) == (3, 3)
    assert admin.saved.owner.long_name == network.mesh.gateway.identity.long_name


async def test_a_gateway_that_is_killed_in_the_middle_leaves_the_radio_as_it_was(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        admin = admin_of(network)
        async with bridge:
            change = asyncio.create_task(bridge.adjust({"hop_limit": "5", "long_name": "Summit"}))
            async with asyncio.timeout(10):
                while "set_config" not in admin.orders:
                    await asyncio.sleep(0.005)
            change.cancel()
            await asyncio.gather(change, return_exceptions=True)
        network.port.reboot()
        async with bridge:
            told = bridge.settings()

    assert told["hop_limit"] == 3
    assert "commit_edit_settings" not in admin.orders


async def test_the_clock_is_warned_of_and_set(tmp_path: Path):
    async with air(tmp_path, settings=Settings(text_interval_s=0.1)) as network:
        firmware = network.port.firmware
        right = firmware.clock
        firmware.clock = lambda now: right(now) - 7200
        bridge = bridge_on(network, tmp_path)
        async with kept_up(bridge):
            assert bridge.settings()["clock_off_s"] is None
            await asyncio.sleep(0.6)
            await bridge.adjust({"channel.1.name": "Village"})
            told = bridge.settings()
            assert told["clock_off_s"] == pytest.approx(-7200, abs=5)
            assert "clock_wrong" in [one["code"] for one in told["warnings"]]
            await bridge.adjust({"time": "now"})
            assert abs(bridge.settings()["clock_off_s"]) < 5

            admin_of(network).has_gps = True
            firmware.clock = lambda now: right(now) - 7200
            with pytest.raises(Declined, match="kept its own time"):
                await bridge.adjust({"time": "now"})


async def test_two_changes_at_once_are_one_and_a_refusal(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge:
            first = asyncio.create_task(bridge.adjust({"channel.1.name": "Village"}))
            await asyncio.sleep(0)
            with pytest.raises(Declined, match="right now"):
                await bridge.adjust({"channel.1.name": "City"})
            await first


async def test_a_look_leaves_before_what_the_node_keeps_is_handed_over(tmp_path: Path):
    async with air(tmp_path, scale=1.0) as network:
        firmware, ridge = network.port.firmware, network.mesh["RDGE"].number
        firmware.keep(packet_of(text_data("kept for the gateway"), sender=ridge, to=BROADCAST, id=7))
        # Slower than a serial line: the node database stands between the settings and what is kept.
        others = [Identity(number=0xB000 + n, long_name=f"Node {n}", short_name=f"{n}") for n in range(80)]
        firmware._directory = lambda: others
        network.port.faults.bytes_per_s = 3000
        bridge = bridge_on(network, tmp_path, scale=1.0)
        told = await bridge.look()
        await network.port.wait_client(present=False)
        network.port.faults.bytes_per_s = 0

        assert told["node"] == network.mesh.gateway.identity.id
        assert bridge.unclaimed == 0
        assert firmware.buffered == 1
