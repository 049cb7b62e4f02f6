# SPDX-License-Identifier: GPL-3.0-or-later
"""The radio bridge against a simulated mesh, on a serial line and on TCP."""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import aclosing
from pathlib import Path

import pytest
from meshtastic.protobuf.mesh_pb2 import ClientNotification, FromRadio

from bridges.meshtastic.convert import packet_id
from bridges.sim import Settings
from gateway.model import (
    Address,
    Certainty,
    Costs,
    Directory,
    Lane,
    LinkDown,
    Message,
    NotThere,
    RateLimited,
    Reaction,
    Rejected,
    RemoteId,
    Report,
    RoutedConversation,
    Text,
    TransientError,
)
from tests.contract.harness import Reader
from tests.contract.harness_meshtastic import LONG_FAST, MARKET, RADIO, air, bridge_on, said, take


@pytest.mark.parametrize("tcp", [False, True])
async def test_a_text_crosses_both_ways(tmp_path: Path, tcp: bool):
    async with air(tmp_path, tcp=tcp) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            receipt = await bridge.send(said("Ali: grüß Gott"), LONG_FAST, key="d1.0")
            heard = await network.mesh["MRKT"].wait_text("Ali: grüß Gott")
            number = network.mesh["RDGE"].say("anybody there?")
            await reader.until(lambda r: r.messages)

    message = reader.messages[0]
    assert heard.id == packet_id("d1.0")
    assert receipt.remote_id == f"{heard.id:08x}"
    assert receipt.more_within_s is None or receipt.more_within_s >= 60
    assert message.content == Text(body="anybody there?")
    assert message.origin == LONG_FAST
    assert message.sender.name == "Ridge relay"
    assert message.native_id == f"mt:a1b2c301:{number:08x}"
    assert message.remote_id == f"{number:08x}"
    assert not message.direct


async def test_what_a_text_takes_on_the_air_is_known_before_the_radio_is_and_goes_by_its_preset(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        assert isinstance(bridge, Costs)
        before, assumed = bridge.airtime_ms(said("x" * 100), LONG_FAST), bridge.airtime_basis
        async with bridge:
            after, told = bridge.airtime_ms(said("x" * 100), LONG_FAST), bridge.airtime_basis

    assert (before, after) == (1174, 1174)
    assert (assumed, told) == ("assuming LongFast: the radio has not told its preset yet", "LongFast")


async def test_a_relayed_broadcast_is_reported_heard(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            receipt = await bridge.send(said("hello"), LONG_FAST, key="d1.0")
            if receipt.certainty is Certainty.SENT:
                await reader.until(lambda r: r.reports)
                assert reader.reports == [Report(key="d1.0", outcome=Certainty.HEARD)]
            else:
                assert receipt.certainty is Certainty.HEARD


async def test_a_broadcast_nobody_relays_stays_sent_and_says_so(tmp_path: Path):
    async with air(tmp_path, scale=60) as network:
        network.mesh.isolate("HILL")
        bridge = bridge_on(network, tmp_path, scale=60)
        async with bridge, Reader(bridge) as reader:
            await bridge.send(said("hello"), LONG_FAST, key="d1.0")
            await reader.until(lambda r: r.reports)

    assert reader.reports[0].outcome is Certainty.SENT
    assert "neighbour" in reader.reports[0].reason


async def test_a_direct_message_is_delivered_when_its_destination_says_so(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            receipt = await bridge.send(said("psst"), MARKET, key="d1.0")
            heard = await network.mesh["MRKT"].wait_text("psst")
            if receipt.certainty is not Certainty.DELIVERED:
                await reader.until(lambda r: any(x.outcome is Certainty.DELIVERED for x in r.reports))

    assert heard.is_direct


async def test_a_direct_message_to_the_radios_own_node_is_refused_in_words(tmp_path: Path):
    """It would never be on the air, and be acknowledged by our node as if it had been relayed."""
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge:
            with pytest.raises(Rejected, match="own node"):
                await bridge.send(said("psst"), Address(RADIO, network.mesh["HILL"].identity.id), key="d1.0")

    assert network.port.firmware.counts["sent"] == 0


async def test_a_direct_message_into_the_void_asks_for_a_fresh_key(tmp_path: Path):
    async with air(tmp_path, scale=60) as network:
        network.mesh.isolate("HILL")
        bridge = bridge_on(network, tmp_path, scale=60)
        async with bridge, Reader(bridge) as reader:
            await bridge.send(said("psst"), MARKET, key="d1.0")
            await reader.until(lambda r: r.reports)

    outcome = reader.reports[0].outcome
    assert isinstance(outcome, TransientError)
    assert outcome.fresh_key


async def test_replies_and_tapbacks_keep_their_target_both_ways(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            first = network.mesh["RDGE"].say("coffee?")
            await reader.until(lambda r: len(r.messages) == 1)
            target = reader.messages[0].remote_id
            await bridge.send(said("yes!", reply_to=target), LONG_FAST, key="d1.0")
            reply = await network.mesh["RDGE"].wait_text("yes!")
            await bridge.send(said("", content=Reaction(target=target, emoji="☕")), LONG_FAST, key="d2.0")
            tapback = await network.mesh["RDGE"].wait_text("☕")
            network.mesh["RDGE"].say("good", reply_id=reply.id)
            network.mesh["RDGE"].say("👍", reply_id=reply.id, emoji=True)
            await reader.until(lambda r: len(r.messages) == 3)

    assert (reply.reply_id, reply.emoji) == (first, False)
    assert (tapback.reply_id, tapback.emoji) == (first, True)
    assert reader.messages[1].reply_to == f"{reply.id:08x}"
    assert reader.messages[2].content == Reaction(target=RemoteId(f"{reply.id:08x}"), emoji="👍")


async def test_many_texts_keep_the_radios_pace_and_none_is_dropped(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge):
            for n in range(12):
                await bridge.send(said(f"text {n}"), LONG_FAST, key=f"d{n}.0")
            await network.mesh["RDGE"].wait_text("text 11")

    heard = [each.text for each in network.mesh["RDGE"].heard]
    assert heard == [f"text {n}" for n in range(12)]
    assert network.port.firmware.counts["too_soon"] == 0


async def test_a_key_the_radio_has_from_before_a_restart_of_the_gateway_shows_once(tmp_path: Path):
    async with air(tmp_path) as network:
        network.mesh.isolate("HILL")
        before = bridge_on(network, tmp_path)
        async with before, Reader(before):
            await before.send(said("once"), LONG_FAST, key="d1.0")
        after = bridge_on(network, tmp_path)
        async with after, Reader(after):
            for _ in range(5):
                try:
                    receipt = await after.send(said("once"), LONG_FAST, key="d1.0")
                    break
                except TransientError as error:
                    assert not error.fresh_key  # noqa: PT017

    assert receipt.remote_id == f"{packet_id('d1.0'):08x}"
    assert network.port.firmware.counts["sent"] == 1


@pytest.mark.parametrize(("to", "room"), [(LONG_FAST, 232), (MARKET, 220)])
async def test_the_largest_text_goes_and_one_byte_more_is_rejected(tmp_path: Path, to: Address, room: int):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge):
            with pytest.raises(Rejected, match=str(room)):
                await bridge.send(said("x" * (room + 1)), to, key="d0.0")
            await bridge.send(said("x" * room), to, key="d1.0")
            await network.mesh["MRKT"].wait_text("x" * room)
            assert bridge.capabilities.room_for(Text(body=""), to, False) == room


async def test_a_channel_that_is_not_there_makes_the_route_wait(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge:
            with pytest.raises(NotThere, match="Town"):
                await bridge.send(said("x"), Address(RADIO, "Village"), key="d1.0")


async def test_channels_go_by_name_by_index_and_by_the_routes_own_spelling(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path, routed=("#1",))
        async with bridge, Reader(bridge) as reader:
            await bridge.send(said("by name"), Address(RADIO, "Town"), key="d1.0")
            await bridge.send(said("by index"), Address(RADIO, "#1"), key="d2.0")
            by_name = await network.mesh["RDGE"].wait_text("by name")
            by_index = await network.mesh["RDGE"].wait_text("by index")
            network.mesh["RDGE"].say("hi", channel=1)
            await reader.until(lambda r: r.messages)

    assert by_name.channel == by_index.channel == 1
    assert reader.messages[0].origin == Address(RADIO, "#1")


async def test_the_channels_there_are_can_be_named_and_a_new_route_spells_them(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        before = (bridge.conversations(), bridge.spelled("#1"))
        async with bridge:
            named = [*bridge.conversations()]
            spelled = [bridge.spelled(each) for each in ("#1", "Town", "#7", "!a1b2c301")]
            bridge.reroute((RoutedConversation(name="#1"),))
            rerouted = [bridge.spelled("Town"), *bridge.conversations()]

    assert before == ([], "#1")
    assert named == ["LongFast", "Town"]
    assert spelled == ["Town", "Town", "#7", "!a1b2c301"]
    assert rerouted == ["#1", "LongFast", "#1"]


async def test_what_the_node_buffered_while_nobody_listened_is_drained(tmp_path: Path):
    async with air(tmp_path) as network:
        numbers = [network.mesh["RDGE"].say(f"early {n}") for n in range(3)]
        await network.mesh["MRKT"].wait_text("early 2")
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            await reader.until(lambda r: len(r.messages) == 3)

    assert reader.bodies == ["early 0", "early 1", "early 2"]
    assert [message.remote_id for message in reader.messages] == [f"{number:08x}" for number in numbers]


async def test_an_unplugged_radio_is_link_down_and_comes_back_with_what_was_queued(tmp_path: Path):
    async with air(tmp_path, scale=1) as network:
        bridge = bridge_on(network, tmp_path, scale=1)
        async with bridge, Reader(bridge) as reader:
            network.port.unplug()
            await reader.until(lambda r: r.failure is not None)
            with pytest.raises(LinkDown):
                await bridge.send(said("queued"), LONG_FAST, key="d1.0")
        with pytest.raises(LinkDown, match="not there"):
            await bridge.__aenter__()
        network.port.plug()
        began = bridge._context.clock.monotonic()
        async with bridge, Reader(bridge):
            await bridge.send(said("queued"), LONG_FAST, key="d1.0")
            await network.mesh["RDGE"].wait_text("queued")
        assert bridge._context.clock.monotonic() - began < 5


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_refusal_that_waited_in_the_node_for_the_line_to_come_back_is_raised(tmp_path: Path, restarted: bool):
    """The node passes over the id from then on: that is no sign that it has the text."""
    async with air(tmp_path, settings=Settings(text_interval_s=60)) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            first = await bridge.send(said("first"), LONG_FAST, key="d1.0")
            await reader.until(lambda r: r.reports or first.certainty is Certainty.HEARD)
            # Gone with the status, before the refusal is on the line.
            network.port.faults.cut_next_at, network.port.faults.after_cut = 5, network.port.unplug
            with pytest.raises(LinkDown):
                await bridge.send(said("too soon"), LONG_FAST, key="d2.0")
            await reader.until(lambda r: r.failure is not None)
        assert network.port.firmware.counts["too_soon"] == 1
        network.mesh["RDGE"].say("after the refusal")
        await network.mesh["MRKT"].wait_text("after the refusal")
        network.port.plug()
        if restarted:
            bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            await reader.until(lambda r: "after the refusal" in r.bodies)
            for _ in range(2):
                with pytest.raises(RateLimited) as refused:
                    await bridge.send(said("too soon"), LONG_FAST, key="d2.0")

    assert refused.value.fresh_key
    assert network.port.firmware.counts["same_id"] == 0


async def test_messages_before_the_loss_come_before_the_loss(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge:
            network.mesh["RDGE"].say("last words")
            first = await take(bridge, 1)
            network.port.unplug()
            async with Reader(bridge) as reader:
                await reader.until(lambda r: r.failure is not None)

    assert reader.items == first


async def test_a_frame_cut_by_the_unplug_does_no_harm(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            network.port.cut_next_frame(9, unplug=True)
            network.mesh["RDGE"].say("half of this")
            await reader.until(lambda r: r.failure is not None)
        network.port.plug()
        async with bridge, Reader(bridge) as reader:
            network.mesh["RDGE"].say("whole")
            await reader.until(lambda r: "whole" in r.bodies)


async def test_a_cut_frame_does_not_take_its_neighbour_along(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            network.port.noise(b"DEBUG | a line of \x94 text\r\n\x94\xc3\xff\xff")
            network.port.cut_next_frame(20)
            network.mesh["RDGE"].say("lost on the line")
            network.mesh["RDGE"].say("neighbour")
            await reader.until(lambda r: "neighbour" in r.bodies)

    assert network.counts["noise"] > 0


async def test_a_restarted_radio_is_greeted_again_on_the_same_line(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            network.port.reboot()
            await asyncio.sleep(0)
            for attempt in range(8):
                try:
                    await bridge.send(said("after"), LONG_FAST, key="d1.0")
                    break
                except TransientError:
                    assert attempt < 7
            await network.mesh["RDGE"].wait_text("after")
            network.mesh["RDGE"].say("me too")
            await reader.until(lambda r: "me too" in r.bodies)
    assert [each.text for each in network.mesh["MRKT"].heard].count("after") == 1


async def test_a_full_transmit_queue_costs_nothing_but_time(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge):
            for n in range(20):
                key = 0
                while True:
                    try:
                        await bridge.send(said(f"text {n:02} " + "x" * 200), LONG_FAST, key=f"d{n}.{key}")
                        break
                    except TransientError as error:
                        key += error.fresh_key
            await network.mesh["RDGE"].wait_heard(lambda heard: heard.text.startswith("text 19"))

    numbers = [each.text[5:7] for each in network.mesh["RDGE"].heard]
    assert numbers == [f"{n:02}" for n in range(20)]


async def test_a_region_that_is_not_set_is_said_in_words(tmp_path: Path):
    async with air(tmp_path) as network:
        network.port.firmware.tx_enabled = False
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge):
            with pytest.raises(TransientError, match="transmit"):
                await bridge.send(said("x"), LONG_FAST, key="d1.0")


async def test_an_unknown_key_of_the_destination_is_said_in_words(tmp_path: Path):
    async with air(tmp_path) as network:
        network.mesh["HILL"].radio.strangers.add(network.mesh["MRKT"].number)
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge):
            with pytest.raises(TransientError, match="key"):
                await bridge.send(said("x"), MARKET, key="d1.0")


async def test_a_direct_message_to_the_gateway_is_direct_and_answered_once(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path, answer_direct=True, direct="home/#town:example.org")
        market, own = network.mesh["MRKT"], network.mesh["HILL"].number
        async with bridge, Reader(bridge) as reader:
            market.say("help me", to=own)
            market.say("hello?", to=own)
            await reader.until(lambda r: len(r.messages) == 2)
            answer = await market.wait_heard(lambda heard: heard.is_direct)
            await bridge.send(said("end"), LONG_FAST, key="d1.0")
            await market.wait_text("end")

    assert all(message.direct and message.origin == MARKET for message in reader.messages)
    assert answer.text == "Got it: on its way to home/#town:example.org"
    assert sum(heard.is_direct for heard in market.heard) == 1


async def test_bad_input_is_counted_and_does_not_stop_the_rest(tmp_path: Path):
    async with air(tmp_path) as network:
        network.mesh.knows_time = False
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            ridge = network.mesh["RDGE"]
            ridge.say("")
            ridge.say(b"caf\xe9")
            ridge.introduce()
            network.port.noise(b"\x94\xc3\x00\x05hello\x94\xc3\x02\x01")
            network.port.push(FromRadio(clientNotification=ClientNotification(message="Duty cycle")))
            ridge.say("fine")
            await reader.until(lambda r: "fine" in r.bodies)
            facts = bridge.describe()

    assert reader.bodies == ["caf\ufffd", "fine"]
    assert all(message.received_ms > 1_600_000_000_000 for message in reader.messages)
    assert {"text_empty", "text_invalid_utf8", "packet_nodeinfo", "frame_unparsable"} <= set(network.counts)
    assert facts["notice"] == "Duty cycle"


async def test_the_bridge_tells_who_is_out_there(tmp_path: Path):
    async with air(tmp_path, settings=Settings(preset="MEDIUM_FAST", region="EU_868")) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge:
            facts = bridge.describe()
            nodes = bridge.nodes()

    assert isinstance(bridge, Directory)
    assert facts["preset"] == "MediumFast"
    assert facts["region"] == "EU_868"
    assert facts["node"] == "!a1b2c300"
    assert facts["channels"] == "MediumFast, Town"
    assert {node.name for node in nodes} >= {"Ridge relay", "Market square", "River lock"}


async def test_the_port_is_held_alone_and_let_go(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge:
            with pytest.raises(LinkDown, match="in use"):
                await bridge_on(network, tmp_path).__aenter__()
        fd = os.open(tmp_path / "radio", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(fd)


async def test_a_silent_device_is_no_radio_and_is_let_go(tmp_path: Path):
    master, slave = os.openpty()
    (tmp_path / "stick").symlink_to(os.ttyname(slave))
    async with air(tmp_path) as network:
        network.connection = f"serial:{tmp_path / 'stick'}"
        with pytest.raises(LinkDown, match="no radio answers"):
            await bridge_on(network, tmp_path).__aenter__()
    fcntl.flock(slave, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(slave)
    os.close(master)


async def test_serial_auto_finds_the_board_that_answers_as_a_radio(tmp_path: Path):
    master, slave = os.openpty()
    (tmp_path / "a-stick").symlink_to(os.ttyname(slave))
    boards = (tmp_path / "a-stick", tmp_path / "b-gone", tmp_path / "radio")
    async with air(tmp_path) as network:
        network.connection = "serial:auto"
        bridge = bridge_on(network, tmp_path, boards=boards)
        async with bridge:
            first = bridge.describe()["port"]
        network.port.unplug()
        with pytest.raises(LinkDown, match=r"/radio: is not there; .*/a-stick: no radio answers; .*/b-gone: is not"):
            await bridge.__aenter__()
        network.port.plug()
        async with bridge:
            second = bridge.describe()["port"]
    os.close(slave)
    os.close(master)

    assert first == second == str(tmp_path / "radio")


async def test_a_radio_that_falls_silent_is_link_down(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            network.port.faults.lose_frame = 1.0
            await reader.until(lambda r: r.failure is not None)
    assert "does not answer" in str(reader.failure)


async def test_an_idle_radio_is_asked_for_signs_of_life_and_stays(tmp_path: Path):
    async with air(tmp_path, scale=200) as network:
        bridge = bridge_on(network, tmp_path, scale=200)
        async with bridge, Reader(bridge) as reader:
            await bridge._context.clock.sleep(150)
            assert reader.failure is None
    assert network.port.firmware.counts["heartbeat_0"] >= 3
    assert network.port.firmware.counts["heartbeat_1"] == 0


async def test_a_flood_is_left_with_the_radio_while_nobody_stores(tmp_path: Path):
    """Reading stops at the inbox's high water, and nothing is lost when it goes on."""
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge:
            async with aclosing(bridge.receive()) as source:
                pending = asyncio.ensure_future(anext(source))
                for n in range(300):
                    network.mesh.inject(_packet(network.mesh["RDGE"].number, n + 1, f"n{n}"))
                first = await pending
                assert isinstance(first, Message)
                await bridge._context.clock.sleep(5)
                assert len(bridge._parts.inbox._items) < 300
            async with Reader(bridge) as reader:
                await reader.until(lambda r: "n299" in r.bodies or len(r.bodies) >= 32)
    assert reader.bodies == [f"n{n}" for n in range(len(reader.bodies))]


def _packet(sender: int, id: int, text: str):
    from bridges.sim.packets import packet_of, text_data

    return packet_of(text_data(text), sender=sender, to=0xFFFFFFFF, id=id)


async def test_an_alert_takes_the_emergency_lane(tmp_path: Path):
    from meshtastic.protobuf.mesh_pb2 import Data

    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            network.mesh["RDGE"].send(Data(portnum="ALERT_APP", payload=b"fire"))
            await reader.until(lambda r: r.messages)
    assert reader.messages[0].lane is Lane.EMERGENCY
