# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway without a radio on the Meshtastic LAN mesh: real sockets, and far nodes by another implementation."""

from __future__ import annotations

import asyncio
import base64
import random
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from meshtastic.protobuf.apponly_pb2 import ChannelSet
from meshtastic.protobuf.channel_pb2 import ChannelSettings
from meshtastic.protobuf.config_pb2 import Config
from meshtastic.protobuf.mesh_pb2 import Heartbeat, ToRadio

from bridges.meshtastic.bridge import MeshtasticBridge
from bridges.meshtastic.framing import frame
from bridges.meshtastic.node.keeping import load
from bridges.meshtastic.node.own import OwnNode
from bridges.meshtastic.node.setup import NodeSetup
from bridges.sim.lan import GROUPS, PORT, LanNode
from bridges.sim.lan_secrets import SharedChannel
from gateway.model import Address, BridgeContext, Certainty, LinkDown, Message, RemoteId, TransientError
from tests.contract.harness import Reader
from tests.contract.harness_lan import RIDGE, Lan, bridge_without_radio, lan
from tests.contract.harness_meshtastic import LONG_FAST, RADIO, ScaledClock, said

MARKET = 0xA1B2C302
TOWN = bytes(range(32))
_RECEIVE_TTL = 12
"""``IP_RECVTTL``"""


@pytest.fixture
async def network() -> AsyncIterator[Lan]:
    async with lan() as made:
        yield made


def number_of(bridge: MeshtasticBridge) -> int:
    return int(bridge.describe()["node"][1:], 16)


def seen(reader: Reader, *bodies: str) -> bool:
    return set(bodies) <= set(reader.bodies)


async def until(holds: Callable[[], bool], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not holds():
            await asyncio.sleep(0.01)


async def introduced(bridge: MeshtasticBridge, node: LanNode) -> None:
    """Have each learn the other's key: a stranger who talks is asked who they are."""
    node.say("hello")
    await node.wait_heard(lambda heard: heard.want_response)
    node.introduce()
    await until(lambda: any(each.name == node.name for each in bridge.nodes()))


def bridge_key(bridge: MeshtasticBridge) -> bytes:
    assert bridge._connector._own_node is not None
    assert bridge._connector._own_node._firmware is not None
    return bridge._connector._own_node._firmware.identity.keys.public


# Both groups, several interfaces.


async def test_nodes_of_either_firmware_are_heard_and_hear_us_once(network: Lan, tmp_path: Path):
    async with LanNode("Market square", MARKET, interface="lan0", firmware="2.8") as market:
        bridge = bridge_without_radio(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            network.ridge.say("old")
            market.say("new")
            await reader.until(lambda r: seen(r, "old", "new"))
            await bridge.send(said("to both"), LONG_FAST, key="a")
            await network.ridge.wait_text("to both")
            await market.wait_text("to both")

    assert reader.bodies == ["old", "new"]
    assert [[heard.text for heard in node.heard if heard.text] for node in (network.ridge, market)] == [["to both"]] * 2


async def test_there_is_no_default_route_and_nothing_leaves_by_an_interface_that_is_not_named(
    network: Lan, tmp_path: Path
):
    with pytest.raises(OSError, match="unreachable"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.connect(("192.0.2.1", 9))
    async with LanNode("Stranger", MARKET, interface="lan1") as stranger:
        bridge = bridge_without_radio(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            stranger.say("from another network")
            await bridge.send(said("here"), LONG_FAST, key="a")
            await network.ridge.wait_text("here")
            network.ridge.say("marker")
            await reader.until(lambda r: seen(r, "marker"))

    assert reader.bodies == ["marker"]
    assert stranger.raw == stranger.raw[:1], "its own alone"


async def test_two_interfaces_are_one_node_that_carries_nothing_from_one_to_the_other(network: Lan, tmp_path: Path):
    async with LanNode("Market square", MARKET, interface="lan1", firmware="2.8") as market:
        bridge = bridge_without_radio(network, tmp_path, interfaces="lan0,lan1")
        async with bridge, Reader(bridge) as reader:
            network.ridge.say("ridge")
            market.say("market")
            await reader.until(lambda r: seen(r, "ridge", "market"))
            await bridge.send(said("to both"), LONG_FAST, key="a")
            heard = [await node.wait_text("to both") for node in (network.ridge, market)]

    assert heard[0].sender == heard[1].sender
    assert [each.text for each in market.heard if each.text] == ["to both"]


async def test_the_loopback_interface_will_do(network: Lan, tmp_path: Path):
    async with LanNode("Market square", MARKET, interface="lo") as market:
        bridge = bridge_without_radio(network, tmp_path, interfaces="lo")
        async with bridge, Reader(bridge) as reader:
            market.say("on this machine")
            await reader.until(lambda r: seen(r, "on this machine"))


async def test_packets_live_for_one_hop(network: Lan, tmp_path: Path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        ear.setsockopt(socket.IPPROTO_IP, _RECEIVE_TTL, 1)
        ear.settimeout(5)
        ear.bind((GROUPS["2.8"], PORT))
        at = socket.inet_aton(GROUPS["2.8"]) + socket.inet_aton("10.69.0.1")
        ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, at)
        bridge = bridge_without_radio(network, tmp_path)
        async with bridge:
            await bridge.send(said("here"), LONG_FAST, key="a")
            _, ancillary, _, _ = ear.recvmsg(600, 64)

    assert [int.from_bytes(value, "little") for _, kind, value in ancillary if kind == socket.IP_TTL] == [1]


# Interfaces that come and go.


@pytest.mark.parametrize(
    ("interfaces", "says"), [("lan9", "lan9 is not there"), ("lan9,lan8", "lan9 is not there; lan8 is not there")]
)
async def test_an_interface_that_is_not_there_is_a_link_that_is_down(
    network: Lan, tmp_path: Path, interfaces: str, says: str
):
    bridge = bridge_without_radio(network, tmp_path, interfaces=interfaces)
    with pytest.raises(LinkDown, match=says):
        await bridge.__aenter__()


@pytest.mark.parametrize(
    ("happens", "says"),
    [
        ("link del lan0", "lan0 is not there"),
        ("link set lan0 down", "lan0 is down"),
        ("link set lan0-far down", "lan0 has no carrier"),
        ("addr flush dev lan0", "lan0 has no IPv4 address"),
    ],
)
async def test_the_only_interface_that_goes_ends_the_link_in_words(
    network: Lan, tmp_path: Path, happens: str, says: str
):
    bridge = bridge_without_radio(network, tmp_path)
    async with bridge, Reader(bridge) as reader:
        network.wires.ip(happens)
        await reader.until(lambda r: r.failure)
        with pytest.raises(LinkDown):
            await bridge.send(said("void"), LONG_FAST, key="a")

    assert says in str(reader.failure)
    with pytest.raises(LinkDown, match=says):
        await bridge.__aenter__()


async def test_an_interface_that_comes_back_with_another_address_is_joined_again(network: Lan, tmp_path: Path):
    bridge = bridge_without_radio(network, tmp_path, interfaces="lan0,lan1")
    async with bridge, Reader(bridge) as reader:
        network.wires.remove("lan1")
        await until(lambda: network.counts["lan_interface_changed"] == 1)
        network.ridge.say("one is enough")
        await reader.until(lambda r: seen(r, "one is enough"))

        network.wires.add("lan1", "10.69.7.7")
        async with LanNode("Market square", MARKET, interface="lan1") as market:
            market.relays = False

            def heard() -> bool:
                market.say("back")
                return "back" in reader.bodies

            await until(heard)
            network.wires.ip("addr add 10.69.8.8/24 dev lan1")
            network.wires.ip("addr del 10.69.7.7/24 dev lan1")
            await until(lambda: network.counts["lan_interface_changed"] == 2)
            await bridge.send(said("welcome"), LONG_FAST, key="a")
            await market.wait_text("welcome")


# Who we are.


async def test_number_and_keys_are_kept_and_nobody_else_can_read_them(network: Lan, tmp_path: Path):
    first = bridge_without_radio(network, tmp_path)
    async with first, Reader(first):
        await introduced(first, network.ridge)
        number = number_of(first)
    again = bridge_without_radio(network, tmp_path)
    async with again, Reader(again):
        assert number_of(again) == number
        receipt = await again.send(said("you I know"), Address(RADIO, f"!{RIDGE:08x}"), key="b")
        heard = await network.ridge.wait_text("you I know")

    assert heard.sealed
    assert receipt.certainty in (Certainty.SENT, Certainty.DELIVERED)
    assert (tmp_path / "node.json").stat().st_mode & 0o777 == 0o600
    assert {"node.json", "airtime.json"} <= {each.name for each in tmp_path.iterdir()}


async def test_what_is_kept_and_damaged_is_not_replaced_by_another_number(network: Lan, tmp_path: Path):
    (tmp_path / "node.json").write_text("{}")
    bridge = bridge_without_radio(network, tmp_path)

    with pytest.raises(LinkDown, match=r"node\.json: is damaged"):
        await bridge.__aenter__()
    assert (tmp_path / "node.json").read_text() == "{}"


async def test_two_gateways_on_one_lan_are_two_nodes_that_talk(network: Lan, tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = bridge_without_radio(network, tmp_path / "a", long_name="Hilltop", short_name="HILL")
    two = bridge_without_radio(network, tmp_path / "b", long_name="Harbour", short_name="HARB")
    async with one, two, Reader(one) as at_one, Reader(two) as at_two:
        assert number_of(one) != number_of(two)
        await one.send(said("from the hill"), LONG_FAST, key="a")
        await two.send(said("from the harbour"), LONG_FAST, key="b")
        await at_one.until(lambda r: seen(r, "from the harbour"))
        await at_two.until(lambda r: seen(r, "from the hill"))
        # Each asked the other who it is, so each has the other's key.
        answer = Address(RADIO, f"!{number_of(one):08x}")
        await until(lambda: any(str(node.name) == "Hilltop" for node in two.nodes()))
        await two.send(said("only for the hill"), answer, key="c")
        await at_one.until(lambda r: seen(r, "only for the hill"))

    assert at_one.bodies == ["from the harbour", "only for the hill"]
    assert at_one.messages[-1].direct
    assert at_two.bodies == ["from the hill"]


async def test_a_node_with_our_number_makes_us_another_one_and_that_is_kept(network: Lan, tmp_path: Path):
    bridge = bridge_without_radio(network, tmp_path)
    async with bridge, Reader(bridge):
        before = number_of(bridge)
        async with LanNode("Twin", before, interface="lan0") as twin:
            twin.introduce()
            await until(lambda: number_of(bridge) != before)
            kept = load(tmp_path / "node.json")
            assert kept is not None
            assert kept.keys.public == bridge_key(bridge), "before anybody could hear of it"
        await bridge.send(said("still here"), LONG_FAST, key="a")
        heard = await network.ridge.wait_text("still here")
        assert heard.sender == number_of(bridge)
        assert f"!{before:08x}" in bridge.describe()["notice"]
    again = bridge_without_radio(network, tmp_path)
    async with again:
        assert number_of(again) == heard.sender


# Channels.


async def test_what_went_out_under_the_number_of_before_is_not_said_again_under_the_new_one(
    network: Lan, tmp_path: Path
):
    network.ridge.relays = False
    bridge = bridge_without_radio(network, tmp_path)
    async with bridge, Reader(bridge) as reader:
        before = number_of(bridge)
        await bridge.send(said("once"), LONG_FAST, key="d1.0")
        async with LanNode("Twin", before, interface="lan0") as twin:
            twin.introduce()
            await until(lambda: number_of(bridge) != before)
        await bridge.send(said("after"), LONG_FAST, key="d2.0")

    assert not any(isinstance(report.outcome, TransientError) for report in reader.reports)


async def test_channels_come_from_a_file_by_name_and_key(network: Lan, tmp_path: Path):
    channels = tmp_path / "channels"
    channels.write_text(f"LongFast AQ==\nTown {base64.b64encode(TOWN).decode()}\n")
    async with LanNode("Town hall", MARKET, interface="lan0", channel=SharedChannel(name="Town", key=TOWN)) as hall:
        bridge = bridge_without_radio(network, tmp_path, channels_file=str(channels))
        async with bridge, Reader(bridge) as reader:
            hall.say("in town")
            network.ridge.say("everywhere")
            await reader.until(lambda r: seen(r, "in town", "everywhere"))
            await bridge.send(said("to town"), Address(RADIO, "Town"), key="a")
            await hall.wait_text("to town")

    assert {str(each.origin) for each in reader.messages} == {"radio/Town", "radio/LongFast"}
    assert [heard.text for heard in network.ridge.heard if heard.text] == []
    assert bridge.describe()["channels"] == "LongFast, Town"


@pytest.mark.parametrize(("content", "says"), [("Town", "line 1: the key is missing"), (None, "No such file")])
async def test_a_channels_file_that_is_wrong_is_said_with_its_line(
    network: Lan, tmp_path: Path, content: str | None, says: str
):
    file = tmp_path / "channels"
    if content is not None:
        file.write_text(content)

    with pytest.raises(LinkDown, match=says):
        await bridge_without_radio(network, tmp_path, channels_file=str(file)).__aenter__()


async def test_the_preset_and_region_of_the_radios_around_decide_what_a_text_costs(network: Lan, tmp_path: Path):
    slow = bridge_without_radio(network, tmp_path, preset="LONG_SLOW", region="EU_868")
    async with slow:
        facts = slow.describe()
        costs = slow.airtime_ms(said("x" * 100), Address(RADIO, "LongSlow"))

    assert (facts["preset"], facts["region"], facts["channels"]) == ("LongSlow", "EU_868", "LongSlow")
    assert costs > 7000


@pytest.mark.parametrize("preset", ["MEDIUM_TURBO", "LITE_FAST"])
async def test_a_preset_of_the_newest_radios_names_their_channel(network: Lan, tmp_path: Path, preset: str):
    bridge = bridge_without_radio(network, tmp_path, preset=preset)
    name = preset.title().replace("_", "")
    async with bridge:
        assert (bridge.describe()["preset"], bridge.describe()["channels"]) == (name, name)
        assert bridge.airtime_ms(said("x" * 100), Address(RADIO, name)) == {"MediumTurbo": 172, "LiteFast": 689}[name]


async def test_a_link_with_a_preset_that_is_newer_than_this_gateway_is_taken_for_the_default(
    network: Lan, tmp_path: Path
):
    lora = Config.LoRaConfig(use_preset=True, modem_preset=99)
    link = ChannelSet(settings=[ChannelSettings(psk=b"\x01")], lora_config=lora).SerializeToString()
    file = tmp_path / "channels"
    file.write_text(f"https://meshtastic.org/e/#{base64.urlsafe_b64encode(link).decode()}\n")

    async with bridge_without_radio(network, tmp_path, channels_file=str(file)) as bridge:
        assert bridge.airtime_basis == "assuming LongFast: the radio's preset has no figures here"


# What becomes of what we send.


async def test_a_text_that_a_lan_node_repeats_is_heard(network: Lan, tmp_path: Path):
    bridge = bridge_without_radio(network, tmp_path)
    async with bridge, Reader(bridge) as reader:
        receipt = await bridge.send(said("hello"), LONG_FAST, key="a")
        if receipt.certainty is Certainty.SENT:
            await reader.until(lambda r: r.reports)
            assert [(each.key, each.outcome) for each in reader.reports] == [("a", Certainty.HEARD)]
        else:
            assert receipt.certainty is Certainty.HEARD


async def test_a_text_that_nobody_repeats_was_sent_and_no_more(network: Lan, tmp_path: Path):
    network.ridge.relays = False
    bridge = bridge_without_radio(network, tmp_path)
    async with bridge, Reader(bridge) as reader:
        receipt = await bridge.send(said("hello"), LONG_FAST, key="a")
        await reader.until(lambda r: r.reports)

    assert receipt.certainty is Certainty.SENT
    assert [(each.outcome, each.reason) for each in reader.reports] == [
        (Certainty.SENT, "no neighbour was heard to relay it")
    ]
    assert network.ridge.counts["duplicate"] == 2


async def test_a_direct_text_is_delivered_when_its_reader_says_so_and_answered_under_seal(network: Lan, tmp_path: Path):
    bridge = bridge_without_radio(network, tmp_path)
    ridge = network.ridge
    async with bridge, Reader(bridge) as reader:
        await introduced(bridge, ridge)
        chat = Address(RADIO, f"!{RIDGE:08x}")
        receipt = await bridge.send(said("for you"), chat, key="a")
        heard = await ridge.wait_text("for you")
        if receipt.certainty is not Certainty.DELIVERED:
            await reader.until(lambda r: [each for each in r.reports if each.outcome is Certainty.DELIVERED])
        number = ridge.say("thanks", to=number_of(bridge), reply_id=heard.id)
        await reader.until(lambda r: seen(r, "thanks"))
        await ridge.wait_heard(lambda each: each.request_id == number and each.error == 0)

    answer: Message = reader.messages[-1]
    assert heard.sealed
    assert (answer.direct, answer.origin, answer.reply_to) == (True, chat, RemoteId(f"{heard.id:08x}"))


async def test_a_direct_text_to_a_node_whose_key_is_not_known_waits_and_asks_for_a_fresh_id(
    network: Lan, tmp_path: Path
):
    bridge = bridge_without_radio(network, tmp_path)
    async with bridge, Reader(bridge):
        with pytest.raises(TransientError, match="key") as refused:
            await bridge.send(said("for you"), Address(RADIO, f"!{MARKET:08x}"), key="a")

    assert refused.value.fresh_key
    assert [heard.text for heard in network.ridge.heard if heard.text] == []


# The line.


async def test_a_line_that_is_paused_or_closed_says_nothing(network: Lan, tmp_path: Path):
    context = BridgeContext(name=RADIO, table={}, state_dir=tmp_path, clock=ScaledClock(1.0), random=random.Random())
    heard: list[bytes] = []
    lost: list[LinkDown] = []
    line = OwnNode(("lan0",), NodeSetup(), context, hop_limit=3, count=context.count).connect()
    line.start(heard.append, lost.append)
    ask = frame(ToRadio(heartbeat=Heartbeat()).SerializeToString())

    line.pause()
    line.write(ask)
    network.ridge.say("meanwhile")
    await asyncio.sleep(0.05)
    assert heard == []
    line.resume()
    await until(lambda: len(heard) >= 2)
    said = len(heard)
    line.write(ask)
    line.close()
    line.write(ask)
    await asyncio.sleep(0.05)

    assert (len(heard), lost) == (said, [])


# Noise.


async def test_noise_and_floods_on_the_group_are_counted_and_what_is_said_among_them_is_heard(
    network: Lan, tmp_path: Path
):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    bridge = bridge_without_radio(network, tmp_path)
    async with bridge, Reader(bridge) as reader:
        for number in range(40):
            network.ridge.put(chance.randbytes(chance.randrange(1400)))
            network.ridge.say(f"words {number}")
            await asyncio.sleep(0)
        await reader.until(lambda r: seen(r, "words 39"))

    assert reader.bodies == [f"words {number}" for number in range(40)]
    assert network.counts["lan_oversize"] > 0
    assert (
        network.counts["lan_oversize"] + network.counts["lan_not_protobuf"] + network.counts["lan_not_encrypted"] >= 38
    )


async def test_more_than_is_stored_stays_with_the_kernel_and_comes_in_order(network: Lan, tmp_path: Path):
    words = [f"words {number}" for number in range(150)]
    bridge = bridge_without_radio(network, tmp_path)
    async with bridge:
        for body in words:
            network.ridge.say(body)
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        async with Reader(bridge) as reader:
            await reader.until(lambda r: seen(r, words[-1]))

    assert reader.bodies == words
