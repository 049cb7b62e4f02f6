# SPDX-License-Identifier: GPL-3.0-or-later
"""The desk in an assembled core: bridges have it, and what is decided at it decides what is carried."""

from __future__ import annotations

import asyncio

import pytest

from gateway.model import (
    Address,
    Asked,
    BridgeName,
    Declined,
    Level,
    Message,
    NativeId,
    Sender,
    SenderId,
    State,
    Text,
)
from tests.contract.assembled import assembled, quiet

CONFIG = """
[gateway]
name = "hilltop"
data_dir = "data"
[bridges.home]
kind = "quiet"
[bridges.radio]
kind = "clear"
[[routes]]
name = "town"
join = ["home/#town", "radio/LongFast"]
[permissions]
"*" = "read"
"@op:x" = "admin"
"""
TOWN, RADIO = Address.parse("home/#town"), Address.parse("radio/LongFast")
ALI, OP = SenderId("@ali:x"), SenderId("@op:x")


def core(folder):
    return assembled(folder, CONFIG, {"quiet": quiet(), "clear": quiet(in_clear=True)})


class Chat:
    """What somebody says and asks in the room of the town."""

    def __init__(self, gateway):
        self.assembly, self.parts = gateway.assembly, gateway.parts
        self.context = gateway.parts.by_bridge[BridgeName("home")].bridge.context
        self.count = 0

    async def ask(self, words, by=OP):
        return await self.context.desk.answer(Asked(sender=by, words=words, at=TOWN))

    def words(self, by=ALI):
        """Something new that somebody says."""
        self.count += 1
        return Message(
            native_id=NativeId(f"mx:${self.count}"),
            origin=TOWN,
            sender=Sender(id=by, name="Ali"),
            content=Text(body="is anyone there?"),
            received_ms=self.assembly.clock.now_ms(),
        )

    async def say(self, by=ALI):
        """Say something; return what became of it on the radio: state and reason."""
        message = self.words(by)
        await self.parts.intake.accept(message)
        (delivery,) = (await self.assembly.journal.message(message.id)).deliveries
        assert delivery.to == RADIO
        return delivery.state, delivery.reason


@pytest.fixture
async def chat(tmp_path):
    async with core(tmp_path) as gateway:
        gateway.parts.desk.open(gateway.operations())
        yield Chat(gateway)


async def test_a_bridge_has_the_desk_from_its_making_and_it_answers_when_the_gateway_is_there(tmp_path):
    async with core(tmp_path) as gateway:
        chat = Chat(gateway)
        with pytest.raises(Declined, match="still starting"):
            await chat.ask("status")
        gateway.parts.desk.open(gateway.operations())
        assert (await chat.ask("status")).startswith("hilltop: crossband ")


async def test_what_a_chat_allows_is_asked_everywhere_from_that_moment(chat):
    assert await chat.say() == (State.CANCELLED, "the sender may read but not transmit on radio")
    await chat.ask("allow @ali:x transmit")
    assert (await chat.say())[0] is State.WAITING
    assert chat.context.level_of(ALI) is Level.TRANSMIT
    await chat.ask("forget @ali:x")
    assert (await chat.say())[0] is State.CANCELLED
    assert chat.context.level_of(ALI) is Level.READ


async def test_the_muted_are_not_carried_with_a_reason_a_count_and_an_end(chat):
    await chat.ask("allow @ali:x transmit")
    await chat.ask("mute @ali:x for 10m")

    assert await chat.say() == (State.CANCELLED, "the sender is muted, for another 10 min")
    assert chat.assembly.tally.skipped[BridgeName("home")]["muted"] == 1
    assert "cancelled (the sender is muted, for another 10 min)" in await chat.ask("where last", by=ALI)
    assert (await chat.say(by=OP))[0] is State.WAITING
    # So nothing of theirs that waits is changed by an edit of theirs.
    assert chat.parts.planner.plan(chat.words()).refused == {RADIO}

    chat.assembly.clock.advance(600)
    assert (await chat.say())[0] is State.WAITING
    assert chat.assembly.tally.skipped[BridgeName("home")]["muted"] == 1


async def test_who_is_at_a_page_is_on_the_radio_when_a_chat_let_them_and_a_bridge_knows_what_was_decided(chat):
    guest = SenderId("~ali@hilltop")
    await chat.ask("allow * transmit")
    assert await chat.say(by=guest) == (State.CANCELLED, "the sender may read but not transmit on radio")
    await chat.ask("allow ~ali@hilltop transmit")
    assert (await chat.say(by=guest))[0] is State.WAITING
    assert guest in chat.context.named()
    assert not chat.context.muted(guest)
    await chat.ask("mute ~ali@hilltop")
    assert chat.context.muted(guest) == "the sender is muted"
    assert await chat.say(by=guest) == (State.CANCELLED, "the sender is muted")


async def test_radio_silence_is_everybody_s_and_over_in_time(chat):
    await chat.ask("silence for 10m")
    assert await chat.say(by=OP) == (State.CANCELLED, "radio silence, by @op:x, for another 10 min")
    chat.assembly.clock.advance(600)
    assert (await chat.say(by=OP))[0] is State.WAITING


async def test_what_is_decided_holds_after_a_restart(tmp_path):
    async with core(tmp_path) as gateway:
        gateway.parts.desk.open(gateway.operations())
        chat = Chat(gateway)
        await asyncio.gather(chat.ask("allow @ali:x commands"), chat.ask("mute @bea:x"))
    async with core(tmp_path) as gateway:
        assert Chat(gateway).context.level_of(ALI) is Level.COMMANDS
        assert gateway.parts.planner.muted(SenderId("@bea:x")) == "the sender is muted"
