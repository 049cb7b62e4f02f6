# SPDX-License-Identifier: GPL-3.0-or-later
"""What the core may rely on, whatever the network: the same sentences for every kind of bridge."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from bridges.sim.synapse import Synapse
from gateway.model import (
    Address,
    Bridge,
    BridgeName,
    Commons,
    Foresees,
    JournalError,
    LinkDown,
    Message,
    NativeId,
    NotThere,
    Receipt,
    Rejected,
    RemoteId,
    Sender,
    SenderId,
    Text,
    TransientError,
)
from tests.contract.harness import PATIENCE_S, Harness, Reader, Shown, bodies
from tests.contract.harness_boxes import BoxesHarness
from tests.contract.harness_lan import no_radio
from tests.contract.harness_matrix import room_on_a_cable, room_on_a_mortal_server
from tests.contract.harness_meshtastic import radio

EVERY_FAR_END = ["matrix", "radio on a serial line", "radio on TCP"]
"""Those with somebody at the far end of the link, who may be mute, and who keeps what is said meanwhile."""
EVERY_KIND = [*EVERY_FAR_END, "no radio, on the LAN", "boxes on the LAN"]
EVERY_LOSS = [*EVERY_KIND, "matrix whose homeserver is killed"]


@pytest.fixture
async def matrix(synapse: Synapse, tmp_path: Path) -> AsyncIterator[Harness]:
    async with room_on_a_cable(synapse, tmp_path / "state") as harness:
        yield harness


@pytest.fixture
async def mortal_matrix(own_synapse: Synapse, tmp_path: Path) -> AsyncIterator[Harness]:
    async with room_on_a_mortal_server(own_synapse, tmp_path / "state") as harness:
        yield harness


@pytest.fixture
async def serial_radio(tmp_path: Path) -> AsyncIterator[Harness]:
    async with radio(tmp_path) as harness:
        yield harness


@pytest.fixture
async def tcp_radio(tmp_path: Path) -> AsyncIterator[Harness]:
    async with radio(tmp_path, tcp=True) as harness:
        yield harness


@pytest.fixture
async def lan_mesh(tmp_path: Path) -> AsyncIterator[Harness]:
    async with no_radio(tmp_path) as harness:
        yield harness


@pytest.fixture
def lan_boxes(tmp_path: Path) -> Harness:
    return BoxesHarness(tmp_path)


FIXTURES = dict(
    zip(EVERY_LOSS, ["matrix", "serial_radio", "tcp_radio", "lan_mesh", "lan_boxes", "mortal_matrix"], strict=True)
)


@pytest.fixture(params=EVERY_KIND)
def harness(request: pytest.FixtureRequest) -> Harness:
    made: Harness = request.getfixturevalue(FIXTURES[request.param])
    return made


def said(body: str, *, reply_to: RemoteId | None = None) -> Message:
    """Return a message as the core hands it to a bridge, from a network that is neither of these."""
    return Message(
        native_id=NativeId(f"web:box:{body[:40]}"),
        origin=Address(BridgeName("lan"), "town"),
        sender=Sender(id=SenderId("~bea@hill"), name="Bea"),
        content=Text(body=body),
        received_ms=0,
        reply_to=reply_to,
    )


async def deliver(
    bridge: Bridge, to: Address, body: str, *, reply_to: RemoteId | None = None, tries: int = 8, pause_s: float = 0
) -> Receipt:
    """Send as the core does: again under the same key, or the next one where the bridge asks for that."""
    generation = 0
    for _ in range(tries):
        try:
            return await bridge.send(said(body, reply_to=reply_to), to, key=f"{body[:40]}.{generation}")
        except TransientError as error:
            failure = error
            generation += error.fresh_key
            await asyncio.sleep(pause_s)
    raise failure


async def take(bridge: Bridge, count: int) -> list[Message]:
    """Receive this many messages; all but the last are asked past, so stored."""
    messages: list[Message] = []
    async with asyncio.timeout(PATIENCE_S), aclosing(bridge.receive()) as source:
        async for item in source:
            if isinstance(item, Message):
                messages.append(item)
            if len(messages) == count:
                break
    return messages


async def wait_shown(harness: Harness, body: str) -> Shown:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            for shown in await harness.shown():
                if shown.body == body:
                    return shown
            await asyncio.sleep(0.02)


async def shown_until(harness: Harness, bridge: Bridge, last: str) -> list[str]:
    """Send one more and return all that is shown when it is: what was doubled would be before it."""
    await deliver(bridge, harness.place, last)
    await wait_shown(harness, last)
    return [shown.body for shown in await harness.shown()]


def seeded() -> random.Random:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return random.Random(seed)


def anew(messages: list[Message], known: list[Message]) -> list[str]:
    """Return the words of what isn't known: the journal passes over what it has."""
    seen = {message.id for message in known}
    return bodies([message for message in messages if message.id not in seen])


# Asking for the next one says the last is stored.


async def test_what_was_not_asked_past_is_yielded_again(harness: Harness):
    bridge = harness.bridge()
    async with bridge:
        for body in ("one", "two", "three"):
            await harness.say(body)
        await deliver(bridge, harness.place, "there and back")  # so all three came over the link
        first = await take(bridge, 2)
        again = await take(bridge, 1)
    async with bridge, Reader(bridge) as reader:
        await reader.until(lambda r: "three" in r.bodies)

    assert bodies(first) == ["one", "two"]
    assert again[0].id in {message.id for message in first}
    assert anew(reader.messages, first[:1]) == ["two", "three"]


async def test_what_was_asked_past_is_not_yielded_again(harness: Harness):
    bridge = harness.bridge()
    async with bridge, Reader(bridge) as reader:
        await harness.say("stored")
        await reader.until(lambda r: r.messages)
        await harness.say("seen")
        await reader.until(lambda r: len(r.messages) == 2)
    async with bridge:
        await harness.say("next")
        (item,) = await take(bridge, 1)
    assert item.content != Text(body="stored")


@pytest.mark.parametrize("harness", ["matrix", "boxes on the LAN"], indirect=True)
async def test_a_new_bridge_goes_on_after_the_last_message_that_was_stored(harness: Harness):
    """Of bridges with resume points, that is; a radio keeps no past."""
    bridge = harness.bridge()
    stored: list[Message] = []
    async with asyncio.timeout(PATIENCE_S), bridge, aclosing(bridge.receive()) as source:
        await harness.say("one")
        stored.append(await anext(source))
        waiting = asyncio.ensure_future(anext(source))
        await harness.say("two")
        await waiting
    await harness.say("three")
    anew_built = harness.bridge(resume=stored[-1].resume)
    async with anew_built:
        missed = await take(anew_built, 2)
    last_built = harness.bridge(resume=missed[-1].resume)
    async with last_built:
        await harness.say("four")
        (last,) = await take(last_built, 1)

    assert bodies(stored) == ["one"]
    assert bodies(missed) == ["two", "three"]
    assert bodies([last]) == ["four"]


async def test_what_arrives_as_the_bridge_is_left_is_yielded_when_it_is_entered_again(harness: Harness):
    bridge = harness.bridge()
    async with bridge:
        await harness.say("just now")
    async with bridge, Reader(bridge) as reader:
        await harness.say("later")
        await reader.until(lambda r: "later" in r.bodies)

    assert reader.bodies == ["just now", "later"]


# A key shows once.


async def test_the_same_key_shows_once(harness: Harness):
    bridge = harness.bridge()
    async with bridge, Reader(bridge):
        first = await deliver(bridge, harness.place, "once")
        second = await deliver(bridge, harness.place, "once")
        shown = await shown_until(harness, bridge, "end")

    assert second.remote_id == first.remote_id
    assert shown == ["once", "end"]


async def test_the_same_key_shows_once_across_a_reconnect_and_a_restart(harness: Harness):
    bridge = harness.bridge()
    async with bridge, Reader(bridge) as reader:
        first = await deliver(bridge, harness.place, "once")
        await harness.cut()
        await reader.until(lambda r: r.failure)
    await harness.mend()
    async with bridge, Reader(bridge):
        second = await deliver(bridge, harness.place, "once")
    restarted = harness.bridge()
    async with restarted, Reader(restarted):
        third = await deliver(restarted, harness.place, "once")
        shown = await shown_until(harness, restarted, "end")

    assert first.remote_id == second.remote_id == third.remote_id
    assert shown == ["once", "end"]


@pytest.mark.parametrize("harness", EVERY_FAR_END, indirect=True)
@pytest.mark.parametrize("restarted", [False, True], ids=["the same bridge", "after a restart"])
async def test_a_key_whose_answer_was_lost_with_the_link_shows_once(harness: Harness, restarted: bool):
    bridge = harness.bridge()
    async with bridge, Reader(bridge) as reader:
        harness.mute()
        sending = asyncio.create_task(bridge.send(said("once"), harness.place, key="once.0"))
        there = await wait_shown(harness, "once")
        await harness.cut()
        with pytest.raises(TransientError) as lost:
            await sending
        await reader.until(lambda r: r.failure)
    harness.unmute()
    await harness.mend()
    if restarted:
        bridge = harness.bridge()
    async with bridge, Reader(bridge):
        receipt = await deliver(bridge, harness.place, "once")
        shown = await shown_until(harness, bridge, "end")

    assert not lost.value.fresh_key
    assert receipt.remote_id == there.id
    assert shown == ["once", "end"]


# What fits.


async def test_what_fills_the_room_is_shown_whole_and_what_is_far_too_long_is_rejected(harness: Harness):
    bridge = harness.bridge()
    room = bridge.capabilities.room_for(Text(body=""), harness.place, False)
    full = "ü" * (room // 2) + "." * (room % 2)
    async with bridge, Reader(bridge):
        with pytest.raises(Rejected) as rejected:
            await deliver(bridge, harness.place, "far too long " + "x" * 3 * room)
        await deliver(bridge, harness.place, full)
        shown = await shown_until(harness, bridge, "next")

    assert str(rejected.value)
    assert shown == [full, "next"]


async def test_one_byte_more_than_the_room_is_shown_whole_or_rejected_never_cut(harness: Harness):
    bridge = harness.bridge()
    body = "x" * (bridge.capabilities.room_for(Text(body=""), harness.place, False) + 1)
    async with bridge, Reader(bridge):
        try:
            await deliver(bridge, harness.place, body)
            whole = [body]
        except Rejected:
            whole = []
        shown = await shown_until(harness, bridge, "next")

    assert shown == [*whole, "next"]


async def test_a_conversation_that_is_not_there_makes_its_messages_wait(harness: Harness):
    bridge = harness.bridge()
    async with bridge, Reader(bridge):
        for key in ("first.0", "first.0", "second.0"):
            with pytest.raises(NotThere) as missing:
                await bridge.send(said("anybody?"), harness.nowhere, key=key)
            assert str(missing.value)
        shown = await shown_until(harness, bridge, "here")

    assert shown == ["here"]


# The link.


@pytest.mark.parametrize("harness", EVERY_LOSS, indirect=True)
async def test_a_lost_link_ends_receiving_and_sending_as_what_it_is(harness: Harness):
    bridge = harness.bridge()
    async with bridge, Reader(bridge) as reader:
        await harness.say("before")
        await reader.until(lambda r: r.messages)
        await harness.cut()
        for number in range(2):
            with pytest.raises(TransientError) as lost:
                await bridge.send(said("void"), harness.place, key=f"void{number}.0")
            assert str(lost.value)
        await reader.until(lambda r: r.failure)
        with pytest.raises(LinkDown):
            await take(bridge, 2)  # one may still be in hand

    assert str(reader.failure)
    assert reader.bodies == ["before"]


@pytest.mark.parametrize(
    "harness", [*EVERY_FAR_END, "boxes on the LAN", "matrix whose homeserver is killed"], indirect=True
)
async def test_entered_again_it_goes_on_where_it_was_and_nothing_said_meanwhile_is_lost(harness: Harness):
    bridge = harness.bridge()
    met: list[Message] = []
    for round_ in range(3):
        async with bridge, Reader(bridge) as reader:
            await reader.until(lambda r, round_=round_: f"meanwhile {round_}.4" in r.bodies or round_ == 0)
            await harness.say(f"there {round_}")
            await reader.until(lambda r, round_=round_: f"there {round_}" in r.bodies)
            await deliver(bridge, harness.place, f"here {round_}")
            await harness.cut()
            await reader.until(lambda r: r.failure)
        met += reader.messages
        with pytest.raises(LinkDown):
            await bridge.__aenter__()
        await harness.mend()
        for number in range(5):
            await harness.say(f"meanwhile {round_ + 1}.{number}")
    async with bridge, Reader(bridge) as reader:
        await reader.until(lambda r: "meanwhile 3.4" in r.bodies)
        shown = await shown_until(harness, bridge, "end")

    once = list({message.id: message for message in (*met, *reader.messages)}.values())
    meanwhile = [[f"meanwhile {round_}.{number}" for number in range(5)] for round_ in (1, 2, 3)]
    assert bodies(once) == ["there 0", *meanwhile[0], "there 1", *meanwhile[1], "there 2", *meanwhile[2]]
    assert shown == ["here 0", "here 1", "here 2", "end"]


@pytest.mark.parametrize("harness", EVERY_FAR_END, indirect=True)
async def test_said_while_the_link_is_cut_comes_in_order_when_it_is_back(harness: Harness):
    bridge = harness.bridge()
    async with bridge, Reader(bridge) as reader:
        await harness.cut()
        await reader.until(lambda r: r.failure)
        words = [f"meanwhile {number}" for number in range(20)]
        for body in words:
            await harness.say(body)
    await harness.mend()
    async with bridge, Reader(bridge) as reader:
        await reader.until(lambda r: words[-1] in r.bodies)

    assert reader.bodies == words


async def test_over_a_link_that_comes_and_goes_each_is_shown_once_and_in_order(harness: Harness):
    chance = seeded()
    words: list[str] = []
    bridge = harness.bridge()

    async def supervise() -> None:
        while True:
            with suppress(LinkDown):
                async with bridge, aclosing(bridge.receive()) as source:
                    async for _ in source:
                        pass
            await asyncio.sleep(0.02)

    async def flap() -> None:
        for _ in range(6):
            await asyncio.sleep(chance.uniform(0.02, 0.4))
            await harness.cut()
            await asyncio.sleep(chance.uniform(0, 0.1))
            await harness.mend()

    supervising, flapping = asyncio.create_task(supervise()), asyncio.create_task(flap())
    async with asyncio.timeout(2 * PATIENCE_S):
        while not flapping.done():
            words.append(f"words {len(words)}")
            await deliver(bridge, harness.place, words[-1], tries=1_000, pause_s=0.03)
            await asyncio.sleep(0.02)
        words.append("end")
        await deliver(bridge, harness.place, "end", tries=1_000, pause_s=0.03)
    await wait_shown(harness, "end")
    await flapping
    supervising.cancel()
    await asyncio.wait([supervising])

    assert supervising.cancelled(), supervising
    assert [shown.body for shown in await harness.shown()] == words


@pytest.mark.parametrize("harness", EVERY_FAR_END, indirect=True)
async def test_all_who_wait_to_send_are_told_of_the_loss_and_lose_nothing(harness: Harness):
    words = [f"words {number}" for number in range(4)]
    bridge = harness.bridge()
    async with bridge, Reader(bridge) as reader:
        harness.mute()
        sending = [asyncio.create_task(bridge.send(said(body), harness.place, key=f"{body}.0")) for body in words]
        await wait_shown(harness, words[0])
        await harness.cut()
        async with asyncio.timeout(PATIENCE_S):
            ends = await asyncio.gather(*sending, return_exceptions=True)
        await reader.until(lambda r: r.failure)
    harness.unmute()
    await harness.mend()
    async with bridge, Reader(bridge):
        for body in words:
            await deliver(bridge, harness.place, body)
        shown = await shown_until(harness, bridge, "end")

    assert [end for end in ends if not isinstance(end, TransientError) or end.fresh_key] == []
    assert sorted(shown) == sorted([*words, "end"])


async def test_a_link_that_is_lost_while_nobody_receives_is_told_to_who_does_next(harness: Harness):
    bridge = harness.bridge()
    async with bridge:
        await harness.cut()
        with pytest.raises(LinkDown):
            await take(bridge, 1)
    await harness.mend()
    async with bridge, Reader(bridge) as reader:
        await harness.say("there again")
        await reader.until(lambda r: r.messages)


@pytest.mark.parametrize("harness", EVERY_FAR_END, indirect=True)
async def test_a_send_that_waits_when_the_bridge_is_left_ends(harness: Harness):
    bridge = harness.bridge()
    async with bridge, Reader(bridge):
        harness.mute()
        sending = asyncio.create_task(bridge.send(said("once"), harness.place, key="once.0"))
        await wait_shown(harness, "once")
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(TransientError):
            await sending
    harness.unmute()
    async with bridge, Reader(bridge):
        await deliver(bridge, harness.place, "once")
        shown = await shown_until(harness, bridge, "end")

    assert shown == ["once", "end"]


async def test_a_bridge_that_is_not_connected_says_so(harness: Harness):
    bridge = harness.bridge()
    for _ in range(2):
        with pytest.raises(LinkDown):
            await bridge.send(said("void"), harness.place, key="void.0")
        with pytest.raises(LinkDown):
            await take(bridge, 1)
        async with bridge:
            pass


# What is open.


def opened() -> set[object]:
    """Return all files, sockets and tasks of this process; the far side's own come and go with them."""
    files = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the listing itself
            files.add((link.name, link.readlink()))
    return files | set(asyncio.all_tasks())


async def nothing_more_than(before: set[object]) -> None:
    """Wait, a moment, for the far side to notice; fail naming what stays open."""
    for _ in range(100):
        if not opened() - before:
            return
        await asyncio.sleep(0.02)
    assert opened() - before == set()


class Watch:
    """What this process opens, connects or starts. An audit hook can't be taken out: it listens at times only."""

    def __init__(self) -> None:
        self._noted: list[str] | None = None
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if self._noted is not None and event.startswith(("open", "os.", "socket.", "subprocess.", "fcntl.")):
            self._noted.append(f"{event} {args}")

    @contextmanager
    def io(self) -> Iterator[list[str]]:
        noted: list[str] = []
        self._noted = noted
        try:
            yield noted
        finally:
            self._noted = None


@pytest.fixture(scope="session")
def watch() -> Watch:
    return Watch()


async def test_building_does_no_input_or_output(harness: Harness, watch: Watch):
    await harness.cut()
    harness.bridge()  # what is imported late is imported
    with watch.io() as building:
        bridge = harness.bridge()
    with watch.io() as entering, pytest.raises(LinkDown):
        await bridge.__aenter__()

    assert building == []
    assert entering, "the watch is awake"


async def test_entering_while_the_network_is_away_is_link_down_and_leaves_nothing_open(harness: Harness):
    await harness.cut()
    bridge = harness.bridge()
    before = opened()
    for _ in range(3):
        with pytest.raises(LinkDown) as away:
            await bridge.__aenter__()
        assert str(away.value)
        await nothing_more_than(before)
    await harness.mend()
    async with bridge, Reader(bridge):
        assert await shown_until(harness, bridge, "there at last") == ["there at last"]


@pytest.mark.parametrize("harness", EVERY_FAR_END, indirect=True)
async def test_entering_that_is_called_off_leaves_nothing_open(harness: Harness):
    bridge = harness.bridge()
    before = opened()
    harness.mute()
    for pause_s in (0, 0.01, 0.05):
        entering = asyncio.create_task(bridge.__aenter__())
        await harness.wait_visited()
        await asyncio.sleep(pause_s)
        entering.cancel()
        await asyncio.wait([entering])
        assert entering.cancelled()
        await nothing_more_than(before)
    harness.unmute()
    async with bridge, Reader(bridge):
        assert await shown_until(harness, bridge, "there at last") == ["there at last"]


@pytest.mark.parametrize("harness", EVERY_FAR_END, indirect=True)
async def test_entering_where_something_else_answers_is_link_down_and_leaves_nothing_open(harness: Harness):
    bridge = harness.bridge()
    before = opened()
    harness.confuse()
    with pytest.raises(LinkDown) as strange:
        await bridge.__aenter__()
    assert str(strange.value)
    await nothing_more_than(before)
    harness.unmute()
    async with bridge, Reader(bridge):
        assert await shown_until(harness, bridge, "there at last") == ["there at last"]


@pytest.mark.parametrize("harness", EVERY_FAR_END, indirect=True)
async def test_a_link_that_is_lost_while_entering_is_link_down_and_leaves_nothing_open(harness: Harness):
    bridge = harness.bridge()
    before = opened()
    harness.mute()
    entering = asyncio.create_task(bridge.__aenter__())
    await harness.wait_visited()
    await harness.cut()
    with pytest.raises(LinkDown):
        await entering
    await nothing_more_than(before)
    harness.unmute()
    await harness.mend()
    async with bridge, Reader(bridge):
        assert await shown_until(harness, bridge, "there at last") == ["there at last"]


@pytest.mark.parametrize("lost", [False, True], ids=["connected", "after the link was lost"])
async def test_leaving_leaves_nothing_open(harness: Harness, lost: bool):
    bridge = harness.bridge()
    before = opened()
    for number in range(2):
        async with bridge, Reader(bridge) as reader:
            await deliver(bridge, harness.place, f"here {number}")
            if lost:
                await harness.cut()
                await reader.until(lambda r: r.failure)
        if lost:
            await harness.mend()
    await harness.cut()
    await nothing_more_than(before)


async def test_name_and_capabilities_are_the_same_before_during_and_after(harness: Harness):
    bridge = harness.bridge()
    facts = [(bridge.name, bridge.capabilities)]
    async with bridge, Reader(bridge) as reader:
        facts.append((bridge.name, bridge.capabilities))
        await harness.cut()
        await reader.until(lambda r: r.failure)
        facts.append((bridge.name, bridge.capabilities))
    facts.append((bridge.name, bridge.capabilities))

    assert facts == [(harness.place.bridge, facts[0][1])] * 4


# Who answers what.


async def test_replies_keep_their_target_both_ways(harness: Harness):
    bridge = harness.bridge()
    async with bridge, Reader(bridge) as reader:
        question = await harness.say("who is there?")
        await reader.until(lambda r: len(r.messages) == 1)
        heard = reader.messages[0]
        receipt = await deliver(bridge, harness.place, "we are", reply_to=heard.remote_id)
        answer = await wait_shown(harness, "we are")
        await harness.say("welcome", reply_to=answer.id)
        await reader.until(lambda r: len(r.messages) == 2)

    assert heard.origin == harness.place
    assert heard.remote_id == answer.reply_to == question
    assert heard.reply_to is None
    assert reader.messages[1].reply_to == receipt.remote_id == answer.id
    assert reader.bodies == ["who is there?", "welcome"]


async def test_what_is_foreseen_of_a_key_is_what_it_is_called(harness: Harness):
    bridge = harness.bridge()
    async with bridge, Reader(bridge):
        receipt = await bridge.send(said("as foreseen"), harness.place, key="as foreseen.0")
        foreseen = bridge.foresee("as foreseen.0").remote_id if isinstance(bridge, Foresees) else receipt.remote_id
        there = await wait_shown(harness, "as foreseen")

    assert foreseen == receipt.remote_id == there.id


@pytest.mark.parametrize("harness", [*EVERY_FAR_END, "no radio, on the LAN"], indirect=True)
async def test_a_conversation_that_other_boxes_may_serve_has_one_name_and_what_is_said_there_has_too(harness: Harness):
    bridge = harness.bridge()
    assert isinstance(bridge, Commons)
    assert bridge.common_name(harness.place.conversation) is None
    async with bridge, Reader(bridge) as reader:
        await harness.say("where are we?")
        await reader.until(lambda r: r.messages)
        heard = reader.messages[0]
        name = bridge.common_name(heard.origin.conversation)
        receipt = await deliver(bridge, harness.place, "here")
        called = bridge.native_of(receipt.remote_id)
        foreseen = bridge.foresee("here.0").native_id if isinstance(bridge, Foresees) else None

    assert name is not None
    network = heard.native_id.partition(":")[0]
    assert name.startswith(f"{network}:")
    assert bridge.remote_of(heard.native_id) == heard.remote_id
    assert bridge.remote_of(NativeId("web:box/1")) is None
    assert called is not None
    assert called.startswith(f"{network}:")
    assert bridge.remote_of(called) == receipt.remote_id
    assert foreseen in {None, called} or foreseen.rpartition(":")[0] == called.rpartition(":")[0]


async def test_what_is_sent_in_order_shows_in_order_and_does_not_come_back(harness: Harness):
    words = [f"words {number}" for number in range(5)]
    bridge = harness.bridge()
    async with bridge, Reader(bridge) as reader:
        for body in words:
            await deliver(bridge, harness.place, body)
        shown = await shown_until(harness, bridge, "end")
        await harness.say("marker")
        await reader.until(lambda r: r.messages)

    assert shown == [*words, "end"]
    assert reader.bodies == ["marker"]


# Calling off.


@pytest.mark.parametrize("harness", EVERY_FAR_END, indirect=True)
async def test_a_send_that_is_called_off_leaves_the_bridge_usable(harness: Harness):
    """At any await: before anything was written, and after it was, with the answer still to come."""
    bridge = harness.bridge()
    async with bridge, Reader(bridge) as reader:
        for turns in range(4):
            sending = asyncio.create_task(bridge.send(said(f"early {turns}"), harness.place, key=f"early {turns}.0"))
            for _ in range(turns):
                await asyncio.sleep(0)
            sending.cancel()
            await asyncio.wait([sending])
            assert sending.cancelled()
        harness.mute()
        sending = asyncio.create_task(bridge.send(said("late"), harness.place, key="late.0"))
        there = await wait_shown(harness, "late")
        sending.cancel()
        await asyncio.wait([sending])
        harness.unmute()
        again = await deliver(bridge, harness.place, "late")
        early = [await deliver(bridge, harness.place, f"early {turns}") for turns in range(4)]
        shown = await shown_until(harness, bridge, "end")
        await harness.say("still listening?")
        await reader.until(lambda r: r.messages)

    assert sending.cancelled()
    assert again.remote_id == there.id
    assert len({receipt.remote_id for receipt in early}) == 4
    assert sorted(shown) == sorted(["late", *(f"early {turns}" for turns in range(4)), "end"])


async def test_a_receive_that_is_called_off_leaves_the_bridge_usable_and_loses_nothing(harness: Harness):
    bridge = harness.bridge()
    async with bridge:
        for turns in (0, 1, 5):
            async with Reader(bridge) as reader:
                for _ in range(turns):
                    await asyncio.sleep(0)
        await harness.say("said to nobody")
        async with Reader(bridge) as reader:
            await reader.until(lambda r: r.messages)
        assert reader.bodies == ["said to nobody"]
        await harness.say("next")
        async with Reader(bridge) as reader:
            await reader.until(lambda r: "next" in r.bodies)
        await deliver(bridge, harness.place, "here")
        shown = await shown_until(harness, bridge, "end")

    assert shown == ["here", "end"]
    assert reader.bodies in (["next"], ["said to nobody", "next"])


async def test_a_reader_that_comes_and_goes_misses_nothing(harness: Harness):
    chance = seeded()
    words = [f"words {number}" for number in range(12)]
    met: list[Message] = []

    async def talk() -> None:
        for body in words:
            await harness.say(body)

    bridge = harness.bridge()
    async with asyncio.timeout(PATIENCE_S), bridge:
        talking = asyncio.create_task(talk())
        while words[-1] not in bodies(met):
            async with Reader(bridge) as reader:
                await asyncio.sleep(chance.uniform(0, 0.08))
            met += reader.messages
        await talking

    assert bodies(list({message.id: message for message in met}.values())) == words


async def store_nothing(bridge: Bridge) -> None:
    async with asyncio.timeout(PATIENCE_S), aclosing(bridge.receive()) as source:
        async for _ in source:
            raise JournalError("disk full")


async def test_what_is_in_hand_when_storing_fails_is_yielded_again(harness: Harness):
    bridge = harness.bridge()
    async with bridge:
        await harness.say("precious")
        with pytest.raises(JournalError):
            await store_nothing(bridge)
        (again,) = await take(bridge, 1)

    assert bodies([again]) == ["precious"]
