# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job: what is said in a room comes out of a radio, and the reverse."""

from __future__ import annotations

from tests.e2e.world import LISTENER, NEAR, World


async def test_a_text_from_the_room_is_heard_at_a_far_radio_under_its_senders_name(world: World) -> None:
    await world.person.say("Bread at nine")

    heard = await world.heard("Baker: Bread at nine")

    assert not heard.direct


async def test_a_text_from_a_radio_appears_in_the_room_under_its_users_name(world: World) -> None:
    await world.radio.say(NEAR, "Stalls are up, Grüße 🥨")

    seen = await world.seen("Stalls are up, Grüße 🥨")

    assert seen.name == NEAR
    assert seen.room_id == world.person.room_id


async def test_replies_keep_their_target_both_ways(world: World) -> None:
    question = await world.person.say("Who sees the ford?")
    asked = await world.heard("Baker: Who sees the ford?")
    await world.settled()
    answer = await world.radio.say(NEAR, "Knee deep", reply_to=asked.id)
    answered = await world.seen("Knee deep")

    assert answered.reply_to == question

    await world.settled()
    await world.another.say("Thank you", reply_to=answered.event_id)
    thanked = await world.heard("Teacher: Thank you")

    assert thanked.reply_id == answer


async def test_a_direct_message_to_the_gateways_node_goes_where_direct_says(world: World) -> None:
    await world.radio.say(NEAR, "Only for the town", to=world.radio.gateway)

    seen = await world.seen("Only for the town")

    assert seen.room_id == world.person.room_id
    assert "Only for the town" not in [heard.text for heard in world.radio.heard if heard.node == LISTENER]


async def test_what_is_said_quickly_on_both_sides_arrives_once_and_in_order(world: World) -> None:
    said_in_room = [f"room {n}" for n in range(5)]
    said_on_air = [f"air {n}" for n in range(5)]
    for in_room, on_air in zip(said_in_room, said_on_air, strict=True):
        await world.person.say(in_room)
        await world.radio.say(NEAR, on_air)

    await world.heard(f"Baker: {said_in_room[-1]}")
    await world.seen(said_on_air[-1])

    assert world.all_heard() == [f"Baker: {text}" for text in said_in_room]
    assert world.all_seen() == said_on_air


async def test_a_stopped_gateway_ends_with_zero(world: World) -> None:
    assert await world.box.stop() == 0
