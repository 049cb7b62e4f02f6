# SPDX-License-Identifier: GPL-3.0-or-later
"""A room and one node, in private: through the real command, a real homeserver and a simulated mesh."""

from __future__ import annotations

from urllib.parse import quote

from tests.e2e.world import LISTENER, NEAR, World

ROUTE = """
[[routes]]
name = "market"
join = ["home/{room}", "radio/!{node:08x}"]
"""


async def private_room(world: World) -> str:
    """Make a room of the person's with the gateway alone, and let the file join it with the node near by."""
    # An invitation now would be declined: the gateway doesn't know the room yet.
    room = str((await world.person.call("POST", "createRoom", {"preset": "public_chat"}))["room_id"])
    await world.box.stop()
    text = world.box.config.read_text(encoding="utf-8")
    world.box.config.write_text(text + ROUTE.format(room=room, node=world.radio.nodes[NEAR]))
    await world.box.start()
    return room


async def relations(world: World, room: str, kind: str) -> list[tuple[str, str]]:
    """Return what the gateway said there, and of what: bodies and replies, or emoji and reactions."""
    page = await world.person.call("GET", f"rooms/{quote(room)}/messages?dir=b&limit=50")
    found = []
    for event in page["chunk"]:
        if event["type"] == kind and event["sender"] == world.bot:
            relation = event["content"].get("m.relates_to", {})
            target = relation.get("event_id") or relation.get("m.in_reply_to", {}).get("event_id", "")
            found.append((relation.get("key") or event["content"].get("body", ""), target))
    return found


async def test_what_a_room_says_to_a_node_it_alone_hears_and_the_room_sees_when_it_acknowledged(world: World) -> None:
    room = await private_room(world)
    said = await world.person.say("Only you", room_id=room)
    heard = await world.heard("Baker: Only you", node=NEAR)

    async def is_acknowledged() -> bool:
        return await relations(world, room, "m.reaction") == [("✅", said)]

    await world.box.wait_until(is_acknowledged)
    await world.radio.say(NEAR, "And only you", to=world.radio.gateway, reply_to=heard.id)

    async def is_answered() -> bool:
        return (f"{NEAR}: And only you", said) in await relations(world, room, "m.room.message")

    await world.box.wait_until(is_answered)
    await world.radio.say(NEAR, "For all")
    await world.seen("For all")

    assert heard.direct
    assert "And only you" not in world.all_seen()
    assert "Baker: Only you" not in world.all_heard(node=LISTENER)


async def test_what_a_node_lacks_our_key_for_waits_in_words_and_arrives_once_it_was_told(world: World) -> None:
    room = await private_room(world)
    await world.radio.call("forget", node=NEAR, other=world.radio.gateway)
    said = await world.person.say("Once you know me", room_id=room)
    heard = await world.heard("Baker: Once you know me", node=NEAR)

    async def is_acknowledged() -> bool:
        return ("✅", said) in await relations(world, room, "m.reaction")

    await world.box.wait_until(is_acknowledged)
    page = (await world.box.ask("GET", "/api/v1/messages?limit=50")).json()["messages"]
    (one,) = [each["deliveries"] for each in page if each["text"] == "Once you know me"]
    states = [(change["state"], change["reason"]) for change in one[0]["history"]]

    assert heard.direct
    assert ("queued", "that node does not know our radio's key yet: it is being told") in states
    assert states[-1][0] == "delivered"
