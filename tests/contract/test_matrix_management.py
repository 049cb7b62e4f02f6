# SPDX-License-Identifier: GPL-3.0-or-later
"""Managing the gateway from rooms of a real homeserver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridges.sim.loopback import LOOPBACK
from gateway.model import Address, Asked, Declined, Level, LinkDown, Text
from gateway.model import Joined as Route
from tests.clocks import StandingClock
from tests.contract.front_desk import HOME, LONG_FAST, PATIENCE_S, Box, FrontDesk, Heard, answer_to, ask
from tests.contract.harness_matrix import Cable
from tests.services import Person, Town, person

CONFIRM = "!mesh confirm"


@pytest.fixture
def desk(town: Town) -> FrontDesk:
    return FrontDesk(levels={town.ali.id: Level.COMMANDS}, answers={"status": "all is well", "help": "ask for status"})


@pytest.fixture
def box(town: Town, tmp_path: Path, desk: FrontDesk) -> Box:
    desk.filed = (filed(town),)
    return Box(town, tmp_path / "state", desk)


@pytest_asyncio.fixture
async def eve(town: Town) -> AsyncIterator[Person]:
    who = await person(town.server, "eve", displayname="Eve")
    yield who
    await who.client.close()


def filed(town: Town) -> Route:
    """What the configuration file joins: the town's room and a channel nobody can bridge in a chat."""
    return Route(route="town", ends=(Address(HOME, town.alias), Address(LONG_FAST.bridge, "Town")))


async def new_room(town: Town, *others: str, version: str | None = None) -> str:
    """A room of Ali's with the gateway in it, and others invited."""
    room_id = await town.ali.create_room(invite=(town.bot.user_id, *others), room_version=version)
    await in_room(town.ali, room_id, town.bot.user_id)
    return room_id


async def in_room(who: Person, room_id: str, user_id: str, membership: str = "join") -> None:
    while await membership_of(who, room_id, user_id) != membership:
        await asyncio.sleep(0.05)


async def membership_of(who: Person, room_id: str, user_id: str) -> str | None:
    state = await who.client.room_get_state_event(room_id, "m.room.member", user_id)
    return getattr(state, "content", {}).get("membership")


async def state(who: Person, room_id: str, type_: str, key: str = "") -> dict[str, Any] | None:
    return getattr(await who.client.room_get_state_event(room_id, type_, key), "content", None)


async def test_a_command_is_answered_once_and_not_carried(town: Town, box: Box, desk: FrontDesk) -> None:
    async with box.start() as heard:
        await town.ali.say(town.room_id, "good morning")
        await heard.until(lambda: len(heard.messages) == 1)
        before = heard.messages[0].resume
        asked = await town.ali.say(town.room_id, "!mesh status")
        answer = await answer_to(town.ali, town.room_id, asked)
        await town.ali.say(town.room_id, "good night")
        await heard.until(lambda: len(heard.messages) == 2)
    assert (answer["msgtype"], answer["body"], answer["m.mentions"]) == ("m.notice", "all is well", {})
    assert [message.content for message in heard.messages] == [Text(body="good morning"), Text(body="good night")]
    (told,) = desk.asked
    assert (told.sender, told.words, told.private) == (town.ali.id, "status", False)
    assert told.at == Address(HOME, town.alias)

    (box.folder / "since.json").unlink()
    async with box.start(before) as heard:  # as after a crash: all since then comes again
        await heard.until(lambda: len(heard.messages) == 1)
    assert len(desk.asked) == 2
    assert [event["content"]["body"] for event in await town.ali.heard(town.room_id)] == ["all is well"]


async def test_help_tells_the_desks_commands_and_the_bridges_own(town: Town, box: Box, desk: FrontDesk) -> None:
    desk.answers["help status"] = "how the gateway is"
    async with box.start():
        assert (await ask(town.ali, town.room_id, "!mesh")).startswith("ask for status\n")
        assert "!mesh bridge CHANNEL" in await ask(town.ali, town.room_id, "!mesh help")
        assert (await ask(town.ali, town.room_id, "!mesh help dm")).startswith("!mesh dm NODE [TEXT]: a direct chat")
        assert await ask(town.ali, town.room_id, "!mesh help status") == "how the gateway is"


async def test_what_fails_is_said_and_the_next_command_is_taken(town: Town, box: Box, desk: FrontDesk) -> None:
    async with box.start():
        for failure, said in (
            (Declined("you may not mute"), "you may not mute"),
            (ValueError("oops"), "Something went wrong; the gateway's log has it."),
        ):
            desk.fails = failure
            assert await ask(town.ali, town.room_id, "!mesh status") == said
        desk.fails = None
        assert await ask(town.ali, town.room_id, "!mesh status") == "all is well"
    assert {"matrix_command_declined", "matrix_command_broken", "matrix_command_done"} <= set(box.counts)


async def test_an_answer_that_the_line_broke_off_is_said_once_and_what_was_done_is_not_done_again(
    town: Town, tmp_path: Path, desk: FrontDesk
) -> None:
    desk.filed = (filed(town),)
    async with Cable(town.server.port) as cable:
        box = Box(town, tmp_path / "state", desk, homeserver=f"http://{LOOPBACK}:{cable.port}")

        class Cutting(FrontDesk):
            async def answer(self, asked: Asked) -> str:
                await cable.cut()
                return await desk.answer(asked)

        box.context = replace(box.context, desk=Cutting(filed=desk.filed))
        async with asyncio.timeout(PATIENCE_S), box.build() as bridge, aclosing(bridge.receive()) as items:
            asked = await town.ali.say(town.room_id, "!mesh status")
            with pytest.raises(LinkDown):
                await anext(items)
        await cable.mend()
        async with asyncio.timeout(PATIENCE_S), box.bridge, Heard(box.bridge):
            assert (await answer_to(town.ali, town.room_id, asked))["body"] == "all is well"
    assert len(desk.asked) == 1


async def test_hostile_commands_change_nothing_but_text(town: Town, box: Box, desk: FrontDesk) -> None:
    hostile = [
        "!mesh <b>status</b> <script>alert(1)</script>",
        "!mesh bridge <img src=x onerror=y>\nLongFast",
        "!mesh " + "x" * 30_000,
        "!mesh dm \"'; DROP TABLE\u202e",
        "!mesh nick " + "\n" * 100,
        "!mesh \u0000\u0007confirm",
    ]
    async with box.start():
        for words in hostile:
            sent = await town.ali.say(town.room_id, words, formatted_body="<h1>!mesh confirm</h1>")
            answer = await answer_to(town.ali, town.room_id, sent)
            assert len(answer["body"]) < 1_000
            assert "formatted_body" not in answer or "<script" not in answer["formatted_body"]
    assert desk.routes == []
    assert all(len(asked.words) <= 4_096 for asked in desk.asked)


async def test_one_person_can_not_keep_it_busy(town: Town, box: Box, desk: FrontDesk) -> None:
    box.context = replace(box.context, clock=StandingClock())
    async with box.start() as heard:
        for _ in range(14):
            await town.ali.say(town.room_id, "!mesh status")
        await town.ali.say(town.room_id, "end")
        await heard.until(lambda: len(heard.messages) == 1)
    answers = [event["content"]["body"] for event in await town.ali.heard(town.room_id)]
    assert answers.count("all is well") == 10
    assert sum("too many commands" in answer for answer in answers) == 1
    assert box.counts.count("matrix_command_throttled") == 4


async def test_all_said_in_a_direct_chat_with_the_gateway_is_a_command(
    town: Town, box: Box, desk: FrontDesk, eve: Person
) -> None:
    async with box.start() as heard:
        chat = await eve.create_room(invite=(town.bot.user_id,), is_direct=True)
        await in_room(eve, chat, town.bot.user_id)
        said = await eve.say(chat, "status")
        assert (await answer_to(eve, chat, said))["body"] == "all is well"
        assert desk.asked[-1].private
        annotation = {"rel_type": "m.annotation", "event_id": said, "key": "👍"}
        await eve.put(chat, "m.reaction", {"m.relates_to": annotation})
        assert "Say it in the room" in await ask(eve, chat, "bridge LongFast")
        assert "more in a direct chat" not in await ask(eve, chat, "help")
    async with box.start() as heard:
        assert await ask(eve, chat, "status") == "all is well", "after a restart too"
        await eve.client.room_invite(chat, town.ali.id)
        await in_room(eve, chat, town.ali.id, "invite")
        said = await eve.say(chat, "status")
        await heard.until(lambda: len(heard.messages) == 1)
        assert heard.messages[0].remote_id == said, "with a third in the room it is talk"
    welcome = (await eve.heard(chat))[0]["content"]["body"]
    assert "everything you say here is a command" in welcome.lower()


async def test_a_direct_chat_that_can_not_be_read_says_so(town: Town, box: Box, eve: Person) -> None:
    encryption = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
    async with box.start():
        chat = await eve.create_room(invite=(town.bot.user_id,), is_direct=True, initial_state=[encryption])
        await in_room(eve, chat, town.bot.user_id)
        while not (heard := await eve.heard(chat)):
            await asyncio.sleep(0.05)
    assert "I have no keys" in heard[0]["content"]["body"]


async def test_all_said_in_the_control_room_is_a_command(town: Town, tmp_path: Path, desk: FrontDesk) -> None:
    room_id = await town.ali.create_room(invite=(town.bot.user_id,))
    box = Box(town, tmp_path / "state", desk, control_room=room_id)
    desk.filed = (filed(town),)
    async with box.start() as heard:
        assert await ask(town.ali, room_id, "status") == "all is well"
        assert await ask(town.ali, room_id, "!mesh status") == "all is well"
        assert "no such command: good" in await ask(town.ali, room_id, "good morning")
        await town.ali.say(town.room_id, "end")
        await heard.until(lambda: len(heard.messages) == 1)
    assert all(asked.private for asked in desk.asked)


async def test_who_may_invite_depends_on_where_to(town: Town, box: Box, desk: FrontDesk, eve: Person) -> None:
    desk.levels[eve.id] = Level.READ
    async with box.start():
        chat = await eve.create_room(invite=(town.bot.user_id,), is_direct=True)
        await in_room(eve, chat, town.bot.user_id, "leave")
        desk.levels[eve.id] = Level.TRANSMIT
        room = await eve.create_room(invite=(town.bot.user_id,))
        await in_room(eve, room, town.bot.user_id, "leave")
        chat = await eve.create_room(invite=(town.bot.user_id,), is_direct=True)
        await in_room(eve, chat, town.bot.user_id)
    declined = await state(eve, room, "m.room.member", town.bot.user_id)
    assert declined is not None
    assert "ask who runs it" in declined["reason"]


@pytest.mark.parametrize("version", ["11", "12"])
async def test_a_room_is_bridged_by_those_with_the_say_in_it(
    town: Town, box: Box, desk: FrontDesk, eve: Person, version: str
) -> None:
    desk.levels[eve.id] = Level.COMMANDS
    async with box.start() as heard:
        room_id = await new_room(town, eve.id, version=version)
        await eve.client.join(room_id)
        assert "haven't the power" in await ask(eve, room_id, "!mesh bridge LongFast")
        assert "Nothing of yours waits" in await ask(eve, room_id, CONFIRM)
        asked = await ask(town.ali, room_id, "!mesh bridge LongFast")
        assert "anyone in range can read it" in asked
        assert desk.routes == []
        assert "Nothing of yours waits" in await ask(eve, room_id, CONFIRM), "only who asked can confirm"
        assert (await ask(town.ali, room_id, CONFIRM)).startswith("Bridged to radio/LongFast, as route chat-1")
        (route,) = desk.routes
        assert (route.ends, route.by) == ((Address(HOME, room_id), LONG_FAST), town.ali.id)
        told = [event["content"]["body"] for event in await town.ali.heard(room_id)]
        (notice,) = [body for body in told if "bridged this room" in body]
        assert f"Ali ({town.ali.id}) bridged this room to radio/LongFast" in notice
        assert "by radio in clear" in notice
        await town.ali.say(room_id, "hello mesh")
        await heard.until(lambda: len(heard.messages) == 1)
        assert heard.messages[0].origin == Address(HOME, room_id)
        assert "bridged to radio/LongFast already" in await ask(town.ali, room_id, "!mesh bridge LongFast")
        assert "haven't the power" in await ask(eve, room_id, "!mesh unbridge")
        assert "no longer bridged to radio/LongFast" in await ask(town.ali, room_id, "!mesh unbridge LongFast")
        assert desk.routes == []
        assert "Nothing was bridged here" in await ask(town.ali, room_id, "!mesh unbridge")


async def test_a_moderator_may_bridge_and_an_additional_creator_of_a_new_room_too(
    town: Town, box: Box, desk: FrontDesk, eve: Person
) -> None:
    desk.levels[eve.id] = Level.COMMANDS
    async with box.start():
        for version, more in (
            ("11", {"power_level_override": {"users": {town.ali.id: 100, eve.id: 50}}}),
            ("12", {"preset": "trusted_private_chat"}),
        ):
            path = "/_matrix/client/v3/createRoom"
            wish = {"room_version": version, "invite": [eve.id, town.bot.user_id], "preset": more.get("preset")}
            if "power_level_override" in more:
                wish["power_level_content_override"] = more["power_level_override"]
            wish = {key: value for key, value in wish.items() if value is not None}
            made = await town.server.request("POST", path, wish, token=town.ali.account.access_token)
            await eve.client.join(made["room_id"])
            await in_room(eve, made["room_id"], town.bot.user_id)
            assert "in clear" in await ask(eve, made["room_id"], "!mesh bridge LongFast")


async def test_without_the_desks_leave_the_rooms_power_is_not_enough(town: Town, box: Box, desk: FrontDesk) -> None:
    async with box.start():
        room_id = await new_room(town)
        desk.levels[town.ali.id] = Level.TRANSMIT
        assert "may not bridge" in await ask(town.ali, room_id, "!mesh bridge LongFast")
        desk.levels[town.ali.id] = Level.COMMANDS
        assert "I know no channel" in await ask(town.ali, room_id, "!mesh bridge Nowhere")
        assert "one person" in await ask(town.ali, room_id, "!mesh bridge !a1b2c301")
        await ask(town.ali, room_id, "!mesh bridge LongFast")
        desk.levels[town.ali.id] = Level.TRANSMIT
        assert "may not bridge" in await ask(town.ali, room_id, CONFIRM), "who lost the right meanwhile hasn't it"
    assert desk.routes == []


async def test_an_encrypted_room_cant_be_bridged_by_a_gateway_without_keys_which_says_what_it_takes(
    town: Town, box: Box, desk: FrontDesk
) -> None:
    async with box.start():
        room_id = await new_room(town)
        await town.ali.state(room_id, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
        assert 'allow_encrypted = "ask"' in await ask(town.ali, room_id, "!mesh bridge LongFast")
        assert "nothing" in (await ask(town.ali, room_id, CONFIRM)).lower()
    assert desk.routes == []


async def test_a_room_that_is_encrypted_after_the_question_is_asked_about_anew(
    town: Town, box: Box, desk: FrontDesk
) -> None:
    async with box.start():
        room_id = await new_room(town)
        await ask(town.ali, room_id, "!mesh bridge LongFast")
        await town.ali.state(room_id, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
        assert "encrypted meanwhile" in await ask(town.ali, room_id, CONFIRM)
    assert desk.routes == []


async def test_an_encrypted_room_is_known_for_one_after_a_restart_though_no_route_names_it(
    town: Town, box: Box, desk: FrontDesk
) -> None:
    async with box.start():
        room_id = await new_room(town)
        await town.ali.state(room_id, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    async with box.start():
        assert 'allow_encrypted = "ask"' in await ask(town.ali, room_id, "!mesh bridge LongFast")
        assert desk.routes == []


async def test_a_restart_forgets_what_waits_for_a_yes_and_says_so(town: Town, box: Box, desk: FrontDesk) -> None:
    async with box.start():
        room_id = await new_room(town)
        await ask(town.ali, room_id, "!mesh bridge LongFast")
    async with box.start():
        assert "when the gateway restarts" in await ask(town.ali, room_id, CONFIRM)
        await ask(town.ali, room_id, "!mesh bridge LongFast")
        await ask(town.ali, room_id, CONFIRM)
        assert f"bridged to radio/LongFast (by {town.ali.id})" in await ask(town.ali, room_id, CONFIRM)


async def test_a_bridged_room_says_so_in_its_state_and_no_more_when_it_is_not(
    town: Town, box: Box, desk: FrontDesk
) -> None:
    key = "org.crossband://radio/LongFast"
    async with box.start():
        room_id = await new_room(town, version="11")
        levels = await state(town.ali, room_id, "m.room.power_levels")
        assert levels is not None
        levels["users"][town.bot.user_id] = 50
        await town.ali.state(room_id, "m.room.power_levels", levels)
        await ask(town.ali, room_id, "!mesh bridge LongFast")
        assert "details" not in await ask(town.ali, room_id, CONFIRM)
        for type_ in ("m.bridge", "uk.half-shot.bridge"):
            said = await state(town.ali, room_id, type_, key)
            assert said is not None
            assert (said["bridgebot"], said["creator"]) == (town.bot.user_id, town.ali.id)
            assert said["channel"] == {"id": "LongFast", "displayname": "LongFast"}
        features = await state(town.ali, room_id, "com.beeper.room_features")
        assert features is not None
        assert features["max_text_length"] == 200
        assert features["file"]["m.image"]["mime_types"] == {"*/*": -2}
    number = len(await town.ali.events(room_id))
    async with box.start() as heard:
        await town.ali.say(room_id, "end")
        await heard.until(lambda: len(heard.messages) == 1)
        assert len(await town.ali.events(room_id)) == number + 1, "a restart says nothing again"
        await ask(town.ali, room_id, "!mesh unbridge")
        assert await state(town.ali, room_id, "m.bridge", key) == {}
        assert await state(town.ali, room_id, "com.beeper.room_features") == {}


async def test_a_room_that_does_not_let_it_say_so_is_bridged_all_the_same(
    town: Town, box: Box, desk: FrontDesk
) -> None:
    async with box.start():
        room_id = await new_room(town)
        await ask(town.ali, room_id, "!mesh bridge LongFast")
        assert "don't let me" in await ask(town.ali, room_id, CONFIRM)
        assert box.bridge.describe()["not_declared"].startswith("2 rooms"), "and the file's"
    assert len(desk.routes) == 1
    assert box.counts.count("matrix_declaration_refused") == 2


async def bridged(town: Town, *others: str) -> str:
    room_id = await new_room(town, *others)
    await ask(town.ali, room_id, "!mesh bridge LongFast")
    await ask(town.ali, room_id, CONFIRM)
    return room_id


async def test_put_out_of_a_room_it_is_no_longer_bridged_and_status_says_why(
    town: Town, box: Box, desk: FrontDesk
) -> None:
    async with box.start() as heard:
        room_id = await bridged(town)
        await town.ali.client.room_kick(room_id, town.bot.user_id)
        await heard.until(lambda: desk.routes == [])
        assert box.bridge.describe()[room_id] == "no longer bridged: we were put out of the room"
    assert "matrix_unbridged" in box.counts
    assert desk.filed, "what the file says is the operator's"


async def test_put_out_of_a_room_while_it_was_away_it_is_no_longer_bridged(
    town: Town, box: Box, desk: FrontDesk
) -> None:
    async with box.start():
        room_id = await bridged(town)
        since = box.bridge.position
    await town.ali.client.room_kick(room_id, town.bot.user_id)
    async with box.start(since) as heard:
        await heard.until(lambda: desk.routes == [])
        assert box.bridge.describe()[room_id] == "no longer bridged: we were put out of the room"


async def test_a_room_that_everybody_left_is_left(town: Town, box: Box, desk: FrontDesk, eve: Person) -> None:
    desk.levels[eve.id] = Level.COMMANDS
    async with box.start() as heard:
        room_id = await bridged(town, eve.id)
        await eve.client.join(room_id)
        await town.ali.client.room_leave(room_id)
        await eve.say(room_id, "still here")
        await heard.until(lambda: len(heard.messages) == 1)
        assert len(desk.routes) == 1
        await eve.client.room_leave(room_id)
        await heard.until(lambda: desk.routes == [])
        assert box.bridge.describe()[room_id] == "no longer bridged: everybody else left the room"
        await heard.until(lambda: room_id not in box.bridge._rooms.joined)


@pytest.mark.parametrize("version", ["11", "12"])
async def test_a_replaced_room_takes_its_route_along(town: Town, box: Box, desk: FrontDesk, version: str) -> None:
    async with box.start() as heard:
        old = await bridged(town)
        await town.ali.state(old, "m.room.join_rules", {"join_rule": "public"})
        path = f"/_matrix/client/v3/rooms/{old}/upgrade"
        made = await town.server.request("POST", path, {"new_version": version}, token=town.ali.account.access_token)
        new = made["replacement_room"]
        moved = (Address(HOME, new), LONG_FAST)
        await heard.until(lambda: [route.ends for route in desk.routes] == [moved])
        assert desk.routes[0].by == town.ali.id
        await in_room(town.ali, new, town.bot.user_id)
        await town.ali.say(new, "first words")
        await heard.until(lambda: len(heard.messages) == 1)
        assert heard.messages[0].origin == Address(HOME, new)


async def test_a_route_that_nobody_may_make_any_more_goes_on_under_the_old_rooms_name(
    town: Town, box: Box, desk: FrontDesk
) -> None:
    async with box.start() as heard:
        old = await bridged(town)
        await town.ali.state(old, "m.room.join_rules", {"join_rule": "public"})
        desk.levels[town.ali.id] = Level.TRANSMIT
        path = f"/_matrix/client/v3/rooms/{old}/upgrade"
        made = await town.server.request("POST", path, {"new_version": "12"}, token=town.ali.account.access_token)
        new = made["replacement_room"]
        await in_room(town.ali, new, town.bot.user_id)
        for number in (1, 2):
            await town.ali.say(new, f"words {number}")
            await heard.until(lambda number=number: len(heard.messages) == number)
        assert heard.messages[-1].origin == Address(HOME, old)
    assert box.counts.count("matrix_move_failed") == 1
