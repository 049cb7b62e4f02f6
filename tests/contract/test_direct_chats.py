# SPDX-License-Identifier: GPL-3.0-or-later
"""Direct chats with a node over a real journal: who is answered, and that one chat never hears another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.journal import relations
from gateway.model import Address, BridgeName, NotThere, Reaction, RemoteId, Support, Text
from gateway.routing import Route
from tests.contract.delivery_desk import CHANNEL, CHAT, ROOM, TABLE, ScriptedBridge, running_core

ALIS, BEAS = Address.parse("home/!ali"), Address.parse("home/!bea")
OPERATOR = Address.parse("home/@op:example.org")


def chat(room, *, person=CHAT):
    return Route(name=f"chat {room}", sources=(room, person), targets=(room, person), direct=True)


CHATS = replace(TABLE, routes=(*TABLE.routes, chat(ALIS), chat(BEAS)), direct={CHAT.bridge: ROOM})


def running(folder, *, table=TABLE):
    return running_core(folder, ScriptedBridge(reactions=Support.NATIVE, edits=Support.TEXT), table=table)


async def reached(core, number, content=None, *, origin=CHAT, **fields):
    """Accept something; return where it is bound for."""
    await core.accept(number, content or Text(body=f"text {number}"), origin=origin, direct=origin == CHAT, **fields)
    (record,) = await core.journal.messages(latest=True, limit=1)
    return {delivery.to for delivery in record.deliveries}


async def sent(core, number, *, origin):
    """Say something in a room and wait until the node has it; return what it is called there."""
    (ident,) = await core.say(number, origin=origin)
    await core.until(ident, "sent", "delivered")
    return (await core.journal.standings([ident]))[ident].remote_id


async def test_what_a_node_says_goes_to_the_chat_it_was_spoken_with_in_last_also_after_a_restart(tmp_path):
    async with running(tmp_path, table=CHATS) as core:
        assert await reached(core, 1) == {BEAS}
        await sent(core, 2, origin=ALIS)
        assert await reached(core, 3) == {ALIS}
    async with running(tmp_path, table=CHATS) as core:
        assert await reached(core, 4) == {ALIS}
        await sent(core, 5, origin=BEAS)
        assert await reached(core, 6) == {BEAS}


async def test_what_only_waits_for_a_node_was_not_said_to_it(tmp_path):
    async with running(tmp_path, table=CHATS) as core:
        await sent(core, 1, origin=ALIS)
        core.bridge.answers = [NotThere("asleep", retry_after_s=60)]
        (ident,) = await core.say(2, origin=BEAS)
        await core.until(ident, "waiting")

        assert await reached(core, 3) == {ALIS}


async def test_a_nodes_answer_in_one_chat_makes_it_the_one_used_last(tmp_path):
    async with running(tmp_path, table=CHATS) as core:
        first = await sent(core, 1, origin=ALIS)
        await sent(core, 2, origin=BEAS)

        assert await reached(core, 3, reply_to=first) == {ALIS}
        assert await reached(core, 4) == {ALIS}


async def test_a_nodes_reaction_goes_where_what_it_reacts_to_came_from(tmp_path):
    async with running(tmp_path, table=CHATS) as core:
        first = await sent(core, 1, origin=ALIS)
        await sent(core, 2, origin=BEAS)

        assert await reached(core, 3, Reaction(target=first, emoji="👍")) == {ALIS}
        assert await reached(core, 4, Reaction(target=RemoteId("$3"), emoji="👍")) == {ALIS}


async def test_a_node_that_was_spoken_with_in_no_chat_lately_is_in_the_latest_made(tmp_path, monkeypatch):
    monkeypatch.setattr(relations, "_LAST_CHAT", relations._LAST_CHAT.replace(f"LIMIT {relations.LATEST}", "LIMIT 2"))
    async with running(tmp_path, table=CHATS) as core:
        await sent(core, 1, origin=ALIS)
        for number in (2, 3):
            await sent(core, number, origin=Address.parse("home/#chat"))

        assert await reached(core, 5) == {BEAS}


async def test_when_a_chat_ends_what_is_journalled_still_goes_and_nothing_new_does(tmp_path):
    async with running(tmp_path, table=CHATS) as core:
        core.bridge.answers = [NotThere("asleep", retry_after_s=0.2)]
        (ident,) = await core.say(1, origin=ALIS)
        await core.until(ident, "waiting")
        core.planner.table = replace(CHATS, routes=(*TABLE.routes, chat(BEAS)))

        await core.until(ident, "sent")
        assert core.bridge.texts == ["text 1"]
        assert await core.say(2, origin=ALIS) == []
        assert await reached(core, 3) == {BEAS}


async def test_a_route_is_used_by_the_first_message_after_it_was_made(tmp_path):
    async with running(tmp_path) as core:
        assert await core.say(1, origin=ALIS) == []
        core.planner.table = CHATS
        await sent(core, 2, origin=ALIS)

        assert core.bridge.texts == ["text 2"]


async def test_where_there_is_no_chat_a_room_answers_in_private_and_changes_its_answer_in_private(tmp_path):
    table = replace(TABLE, direct={CHAT.bridge: ROOM})
    async with running(tmp_path, table=table) as core:
        assert await reached(core, 1) == {ROOM}
        # The room has it under some name, as its bridge would have told.
        (record,) = await core.journal.messages(latest=True, limit=1)
        await named(core, record.deliveries[0].id, "$there")

        answer = await core.say(2, reply_to=RemoteId("$there"))
        await core.until(answer[0], "sent")
        edited = await core.edit(3, 2, "text 2, corrected")
        thanked = await core.accept(4, Reaction(target=RemoteId("$there"), emoji="👍"))

        assert [await where(core, ids) for ids in (answer, edited, thanked)] == [[CHAT]] * 3


async def test_a_room_with_a_chat_and_a_channel_says_nothing_of_the_chat_on_the_channel(tmp_path):
    both = Route(name="both", sources=(ALIS, CHANNEL), targets=(ALIS, CHANNEL))
    async with running(tmp_path, table=replace(CHATS, routes=(*CHATS.routes, both))) as core:
        first = await core.say(1, origin=ALIS)
        assert await reached(core, 2, reply_to=await name(core, first, CHAT)) == {ALIS}
        (record,) = await core.journal.messages(latest=True, limit=1)
        await named(core, record.deliveries[0].id, "$there")
        answer = await core.say(3, origin=ALIS, reply_to=RemoteId("$there"))

        assert set(await where(core, first)) == {CHAT, CHANNEL}
        assert await where(core, answer) == [CHAT]


@pytest.mark.parametrize("person_is_on_the_network", [True, False])
async def test_what_went_to_a_user_before_their_room_was_there_can_be_answered_in_the_room(
    tmp_path, person_is_on_the_network
):
    """`direct` names a user: the bridge finds the room while it sends, and joins it."""
    before = replace(TABLE, direct={CHAT.bridge: OPERATOR})
    after = replace(before, routes=(*TABLE.routes, chat(ALIS)))
    async with running(tmp_path, table=before) as core:
        assert await reached(core, 1) == {OPERATOR}
        (record,) = await core.journal.messages(latest=True, limit=1)
        await named(core, record.deliveries[0].id, "$there")
        core.planner.table = after
        if person_is_on_the_network:
            core.sender.formerly = lambda room, person: OPERATOR if (room, person) == (ALIS, CHAT) else None
        (answer,) = await core.say(2, origin=ALIS, reply_to=RemoteId("$there"))
        await core.until(answer, "sent")
        (liked,) = await core.accept(3, Reaction(target=RemoteId("$there"), emoji="👍"), origin=ALIS)

        known = RemoteId("$1") if person_is_on_the_network else None
        assert core.bridge.messages[0].reply_to == known
        assert await core.until(liked, "sent", "failed") == ("sent" if person_is_on_the_network else "failed")
        assert await reached(core, 4) == {ALIS}


async def named(core, ident, remote_id):
    """Let a delivery to a room be there under a name."""
    standing = (await core.journal.standings([ident]))[ident]
    change = replace(core.sender.outcomes.cancelled(ident), remote_id=RemoteId(remote_id), state=standing.state)
    await core.journal.record([change])


async def name(core, ids, to):
    """Wait until it is sent to this address; return what it is called there."""
    for ident in ids:
        standing = (await core.journal.standings([ident]))[ident]
        if standing.to == to:
            await core.until(ident, "sent")
            return (await core.journal.standings([ident]))[ident].remote_id
    raise AssertionError(to)


async def where(core, ids):
    found = await core.journal.standings(ids)
    return sorted((standing.to for standing in found.values() if standing.to.bridge == BridgeName("radio")), key=str)
