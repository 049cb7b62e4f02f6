# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's people see every message of their rooms once and in order, whatever happens to the homeserver."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from bridges.sim.person import Person, RefusedError
from bridges.sim.synapse import Synapse


async def newcomer(server: Synapse, name: str) -> Person:
    account = await server.register_user(f"{name}-{secrets.token_hex(3)}")
    return Person(server.url, user_id=account.user_id, access_token=account.access_token)


async def two_in_a_room(server: Synapse) -> tuple[Person, Person]:
    host, guest = await newcomer(server, "host"), await newcomer(server, "guest")
    room = await host.create_room(f"room-{secrets.token_hex(3)}")
    await host.invite(guest.user_id)
    assert await guest.join(room) == room
    return host, guest


async def test_what_one_says_the_other_sees_with_what_it_answers(synapse: Synapse) -> None:
    host, guest = await two_in_a_room(synapse)
    async with guest:
        first = await host.say("Hello")
        second = await host.say("Are you there?", reply_to=first)
        seen = await guest.wait_text("Are you there?")

    assert (seen.event_id, seen.sender, seen.reply_to) == (second, host.user_id, first)
    assert [seen.text for seen in guest.seen] == ["Hello", "Are you there?"]


async def test_a_message_under_another_name_shows_that_name_and_the_bare_text(synapse: Synapse) -> None:
    host, guest = await two_in_a_room(synapse)
    profile = {"id": "!1", "displayname": "Ridge", "has_fallback": True}
    content = {"msgtype": "m.text", "body": "Ridge: windy", "com.beeper.per_message_profile": profile}
    async with guest:
        await host.send("m.room.message", content)
        seen = await guest.wait_text("windy")

    assert (seen.name, seen.sender) == ("Ridge", host.user_id)


async def test_a_message_that_came_late_shows_its_bare_text_and_when_it_was_said(synapse: Synapse) -> None:
    host, guest = await two_in_a_room(synapse)
    profile = {"id": "!1", "displayname": "Ridge", "has_fallback": True}
    late = {"msgtype": "m.text", "body": "Ridge: [14:02] windy", "org.crossband.said_ms": 5}
    async with guest:
        await host.send("m.room.message", late | {"com.beeper.per_message_profile": profile})
        seen = await guest.wait_text("windy")

    assert seen.said_ms == 5


async def test_what_a_limited_timeline_left_out_is_fetched_in_order(synapse: Synapse) -> None:
    host, guest = await two_in_a_room(synapse)
    async with guest:
        pass
    texts = [f"while you were out {n}" for n in range(130)]
    for text in texts:
        await host.say(text)
    async with guest:
        await guest.wait_text(texts[-1])

    assert [seen.text for seen in guest.seen] == texts


async def test_what_is_said_while_the_homeserver_is_away_is_said_once_it_is_back(own_synapse: Synapse) -> None:
    host, guest = await two_in_a_room(own_synapse)
    async with guest:
        await host.say("before")
        await own_synapse.kill()
        saying = asyncio.ensure_future(host.say("after"))
        await asyncio.sleep(0)
        await own_synapse.start()
        said = await saying

        assert (await guest.wait_text("after")).event_id == said
    assert [seen.text for seen in guest.seen] == ["before", "after"]


async def test_a_password_logs_in_and_a_wrong_one_is_refused(synapse: Synapse) -> None:
    account = await synapse.register_user(f"someone-{secrets.token_hex(3)}")

    assert (await Person.login(synapse.url, account.user_id, account.password)).user_id == account.user_id
    with pytest.raises(RefusedError, match="M_FORBIDDEN"):
        await Person.login(synapse.url, account.user_id, "guess")
