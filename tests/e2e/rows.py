# SPDX-License-Identifier: GPL-3.0-or-later
"""What people in a room and on its radio get of each other: one function for each row of the table."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import aiohttp

from bridges.sim.airwaves import Heard
from tests.e2e.quarters import District, Quarter, Someone, relates
from tests.e2e.world import LISTENER, NEAR, WITHIN_S
from tests.peers.js_peer import Sight

Row = Callable[[District, Quarter, Someone], Awaitable[None]]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
SAID = ("Bread at", "Stalls are up", "Too early", "Who brings", "Only you", "Got it", "Who am I?", "When,", "Camp ")
"""Of what is said, what no log may have."""
EMOJI = {"nio": "👍", "js": "🎉"}
NODE = {"nio": NEAR, "js": LISTENER}
"""Whose position each sees: of one node one is passed on in ten minutes."""


async def sees(quarter: Quarter, who: Someone, words: str) -> Sight:
    """Wait until somebody sees in the room what ends so, readable or not as it will stay."""
    return await who.peer.wait_for(
        lambda sight: sight.room_id == quarter.room_id and sight.body.endswith(words) and sight.shield != "pending"
    )


async def bridge(world: District, quarter: Quarter, who: Someone) -> None:
    answer = await world.ask(who, quarter.room_id, f"!mesh bridge {quarter.channel}")
    if quarter.encrypted:
        assert "This room is encrypted" in answer
        answer = await world.ask(who, quarter.room_id, "!mesh confirm")
    assert "anyone in range can read it" in answer
    assert (await world.ask(who, quarter.room_id, "!mesh confirm")).startswith(f"Bridged to {quarter.channel}")
    told = await who.peer.wait_for(
        lambda sight: sight.room_id == quarter.room_id and f"({who.id}) bridged this room" in sight.body
    )
    assert "in clear" in told.body


async def declared(world: District, quarter: Quarter, who: Someone) -> None:
    def is_there(type_: str) -> Callable[[Sight], bool]:
        return lambda sight: (sight.room_id, sight.type) == (quarter.room_id, type_) and bool(sight.content)

    for type_ in ("m.bridge", "uk.half-shot.bridge"):
        content = (await who.peer.wait_for(is_there(type_))).content
        assert (content["bridgebot"], content["channel"]["displayname"]) == (world.bot, "LongFast")
    assert (await who.peer.wait_for(is_there("com.beeper.room_features"))).content["max_text_length"] == 200


async def text_to_the_radio(world: District, quarter: Quarter, who: Someone) -> None:
    said = await who.peer.say(quarter.room_id, f"Bread at nine, {who.kind}")
    heard = await quarter.heard(f"{who.name}: Bread at nine, {who.kind}")
    assert not heard.direct
    quarter.notes["said", who.kind] = said, heard
    await world.settled(quarter.bridge)


async def text_from_the_radio(world: District, quarter: Quarter, who: Someone) -> None:
    packet = await quarter.radio.say(NEAR, f"Stalls are up, {who.kind}")
    seen = await sees(quarter, who, f"Stalls are up, {who.kind}")
    world.is_from(seen, NEAR, quarter)
    assert seen.content["m.mentions"] == {}
    quarter.notes["seen", who.kind] = seen, packet
    await world.settled("home")


async def reply_to_the_radio(world: District, quarter: Quarter, who: Someone) -> None:
    seen, packet = quarter.notes["seen", who.kind]
    relation = {"m.in_reply_to": {"event_id": seen.event_id}}
    await who.peer.say(quarter.room_id, f"Coming, {who.kind}", **{"m.relates_to": relation})
    assert (await quarter.heard(f"{who.name}: Coming, {who.kind}")).reply_id == packet


async def reply_from_the_radio(world: District, quarter: Quarter, who: Someone) -> None:
    said, heard = quarter.notes["said", who.kind]
    await quarter.radio.say(NEAR, f"Too early, {who.kind}", reply_to=heard.id)
    seen = await sees(quarter, who, f"Too early, {who.kind}")
    assert relates(seen)["m.in_reply_to"] == {"event_id": said}
    world.is_from(seen, NEAR, quarter)


async def thread(world: District, quarter: Quarter, who: Someone) -> None:
    root, _ = quarter.notes["said", who.kind]
    relation = {"rel_type": "m.thread", "event_id": root, "is_falling_back": True, "m.in_reply_to": {"event_id": root}}
    said = await who.peer.say(quarter.room_id, f"Who brings, {who.kind}?", **{"m.relates_to": relation})
    heard = await quarter.heard(f"{who.name}: Who brings, {who.kind}?")
    assert heard.reply_id == 0, "what only falls back to being a reply is none"
    await world.settled(quarter.bridge)
    await quarter.radio.say(NEAR, f"I do, {who.kind}", reply_to=heard.id)
    seen = await sees(quarter, who, f"I do, {who.kind}")
    answer = relation | {"is_falling_back": False, "m.in_reply_to": {"event_id": said}}
    assert relates(seen) == answer


async def reaction_to_the_radio(world: District, quarter: Quarter, who: Someone) -> None:
    seen, packet = quarter.notes["seen", who.kind]
    relation = {"rel_type": "m.annotation", "event_id": seen.event_id, "key": EMOJI[who.kind]}
    await who.peer.send(quarter.room_id, "m.reaction", {"m.relates_to": relation})
    assert (await quarter.heard(EMOJI[who.kind])).reply_id == packet


async def tapback_from_the_radio(world: District, quarter: Quarter, who: Someone) -> None:
    said, heard = quarter.notes["said", who.kind]
    await quarter.radio.call("say", node=NEAR, text="❤", reply_id=heard.id, emoji=1)
    seen = await who.peer.wait_for(lambda sight: relates(sight).get("event_id") == said and sight.type == "m.reaction")
    assert relates(seen)["key"] == "❤\ufe0f"
    is_ghost = world.mode == "appservice" and not quarter.encrypted
    assert seen.sender == (f"@mesh_{quarter.radio.nodes[NEAR]:08x}:gw.test" if is_ghost else world.bot)


async def edit(world: District, quarter: Quarter, who: Someone) -> None:
    said, heard = quarter.notes["said", who.kind]
    new = {"msgtype": "m.text", "body": f"Bread at ten, {who.kind}"}
    relation = {"rel_type": "m.replace", "event_id": said}
    await who.peer.say(quarter.room_id, f"* {new['body']}", **{"m.new_content": new, "m.relates_to": relation})
    assert (await quarter.heard(f"{who.name}: *corrected: Bread at ten, {who.kind}")).reply_id == heard.id
    await world.settled(quarter.bridge)


async def redaction(world: District, quarter: Quarter, who: Someone) -> None:
    said, _ = quarter.notes["said", who.kind]
    await who.peer.redact(quarter.room_id, said)
    await who.peer.wait_for(
        lambda sight: (
            sight.room_id == quarter.room_id
            and "not taken back" in sight.body
            and relates(sight).get("m.in_reply_to", {}).get("event_id") == said
        )
    )


async def image(world: District, quarter: Quarter, who: Someone) -> None:
    content: dict[str, Any] = {
        "msgtype": "m.image",
        "body": f"{who.kind}.png",
        "info": {"mimetype": "image/png", "size": len(PNG)},
    }
    if quarter.encrypted:
        from nio.crypto.attachments import encrypt_attachment

        sealed, keys = encrypt_attachment(PNG)
        uri = await who.peer.upload(sealed, mimetype="application/octet-stream", name="sealed")
        content["file"] = {**keys, "url": uri, "mimetype": "image/png"}
    else:
        content["url"] = await who.peer.upload(PNG, mimetype="image/png", name=content["body"])
    await who.peer.send(quarter.room_id, "m.room.message", content)
    heard = await quarter.heard(lambda heard: f"{who.kind}.png" in heard.text)
    words, _, link = heard.text.rpartition(" ")
    assert words == f"{who.name}: [image 10 kB] {who.kind}.png"
    async with aiohttp.ClientSession() as browser, browser.get(link) as answer:
        assert await answer.read() == PNG


async def poll(world: District, quarter: Quarter, who: Someone) -> None:
    said = "org.matrix.msc1767.text"
    answers = [{"id": words, said: words} for words in ("today", "never")]
    content = {
        "question": {said: f"When, {who.kind}?"},
        "kind": "org.matrix.msc3381.poll.disclosed",
        "max_selections": 1,
        "answers": answers,
    }
    type_ = "org.matrix.msc3381.poll.start"
    await who.peer.send(quarter.room_id, type_, {type_: content, said: f"When, {who.kind}? 1. today 2. never"})
    await quarter.heard(f"{who.name}: [poll] When, {who.kind}? 1) today 2) never")


async def place_to_the_radio(world: District, quarter: Quarter, who: Someone) -> None:
    content = {"msgtype": "m.location", "body": f"Camp {who.kind}", "geo_uri": "geo:46.51234,8.1;u=10"}
    await who.peer.send(quarter.room_id, "m.room.message", content)
    await quarter.heard(f"{who.name}: geo 46.51234,8.10000 Camp {who.kind}")


async def place_from_the_radio(world: District, quarter: Quarter, who: Someone) -> None:
    node = NODE[who.kind]
    await quarter.radio.call("position", node=node)

    def is_it(sight: Sight) -> bool:
        number = f"{quarter.radio.nodes[node]:08x}"
        is_there = (sight.room_id, sight.content.get("msgtype")) == (quarter.room_id, "m.location")
        return is_there and (number in sight.sender or sight.body.startswith(node))

    seen = await who.peer.wait_for(is_it)
    assert seen.content["geo_uri"].startswith("geo:47.0")
    assert seen.content["org.matrix.msc3488.asset"] == {"type": "m.pin"}
    world.is_from(seen, node, quarter)


async def mention_from_the_radio(world: District, quarter: Quarter, who: Someone) -> None:
    await quarter.radio.say(NEAR, f"Thanks @{who.name} and @room")
    seen = await sees(quarter, who, f"Thanks @{who.name} and @room")
    assert seen.content["m.mentions"] == {"user_ids": [who.id]}


async def mention_to_the_radio(world: District, quarter: Quarter, who: Someone) -> None:
    pill = f'<a href="https://matrix.to/#/{quote(who.id)}">{who.name}</a>: yours'
    html = {"format": "org.matrix.custom.html", "formatted_body": pill, "m.mentions": {"user_ids": [who.id]}}
    await who.peer.say(quarter.room_id, f"{who.id}: yours", **html)
    await quarter.heard(f"{who.name}: {who.name}: yours")


async def nick(world: District, quarter: Quarter, who: Someone) -> None:
    name = f"{who.kind}-{quarter.bridge[-1]}"
    assert await world.ask(who, quarter.room_id, f"!mesh nick {name}") == f"On air you are {name} from now on."
    await who.peer.say(quarter.room_id, "Who am I?")
    await quarter.heard(f"{name}: Who am I?")
    assert "own name again" in await world.ask(who, quarter.room_id, "!mesh nick")


async def status(world: District, quarter: Quarter, who: Someone) -> None:
    answer = await world.ask(who, quarter.room_id, "!mesh status")
    assert "hilltop" in answer
    assert quarter.bridge in answer


async def private(world: District, quarter: Quarter, who: Someone) -> None:
    if world.mode == "appservice":
        await (ghost_declines if quarter.encrypted else ghost_comes)(world, quarter, who)
    else:
        # By its number: each quarter's mesh has one of that name.
        answer = await world.ask(who, quarter.room_id, f"!mesh dm !{quarter.radio.nodes[NEAR]:08x}")
        room_id = answer.partition("#/")[2].partition("?")[0].replace("%21", "!")
        await who.peer.join(room_id)
        await talk_in_private(world, quarter, who, room_id)


async def ghost_comes(world: District, quarter: Quarter, who: Someone) -> None:
    ghost = f"@mesh_{quarter.radio.nodes[NEAR]:08x}:gw.test"
    wish = {"invite": [ghost], "is_direct": True, "room_version": quarter.version}
    room_id = (await world.call(who, "POST", "createRoom", wish))["room_id"]
    await world.member(who, room_id, ghost)
    await who.peer.wait_for(lambda sight: sight.room_id == room_id and "go to one radio" in sight.body)
    await talk_in_private(world, quarter, who, room_id)


async def ghost_declines(world: District, quarter: Quarter, who: Someone) -> None:
    ghost = f"@mesh_{quarter.radio.nodes[NEAR]:08x}:gw.test"
    sealed = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
    wish = {"invite": [ghost], "is_direct": True, "room_version": quarter.version, "initial_state": [sealed]}
    room_id = (await world.call(who, "POST", "createRoom", wish))["room_id"]
    left = await world.member(who, room_id, ghost, "leave")
    assert "can't read encrypted rooms" in left["reason"]


async def talk_in_private(world: District, quarter: Quarter, who: Someone, room_id: str) -> None:
    words = f"Only you, {quarter.name} {who.kind}"
    said = await who.peer.say(room_id, words)

    def heard(one: Heard) -> bool:
        return (one.text, one.node) == (f"{who.name}: {words}", NEAR) and one.direct

    for _ in range(int(WITHIN_S / 0.1)):
        if way := [one for one in world.quarters if any(map(heard, one.radio.heard))]:
            break
        await asyncio.sleep(0.1)
    assert way, [one.text for quarter in world.quarters for one in quarter.radio.heard if one.direct]
    await who.peer.wait_for(lambda sight: relates(sight).get("event_id") == said and relates(sight).get("key") == "✅")
    (their,) = way
    reply_to = next(one.id for one in their.radio.heard if heard(one))
    await their.radio.say(NEAR, f"Got it, {quarter.name} {who.kind}", to=their.radio.gateway, reply_to=reply_to)
    seen = await who.peer.wait_for(
        lambda sight: sight.body.endswith(f"Got it, {quarter.name} {who.kind}") and sight.room_id == room_id
    )
    assert relates(seen)["m.in_reply_to"]["event_id"] == said


async def unbridge(world: District, quarter: Quarter, who: Someone) -> None:
    assert "no longer bridged" in await world.ask(who, quarter.room_id, "!mesh unbridge")
    await who.peer.wait_for(
        lambda sight: (sight.room_id, sight.type) == (quarter.room_id, "m.bridge") and not sight.content
    )


async def tombstone(world: District, quarter: Quarter, who: Someone) -> None:
    creator = quarter.creator
    if who is creator:
        # As a client does it: the homeserver makes the new room and closes the old one, the client invites.
        path, wish = f"rooms/{quote(quarter.room_id)}/upgrade", {"new_version": quarter.version}
        quarter.room_id = (await world.call(who, "POST", path, wish))["replacement_room"]
        for guest in (world.bot, *(one.id for one in quarter.people.values() if one is not who)):
            await world.call(who, "POST", f"rooms/{quote(quarter.room_id)}/invite", {"user_id": guest})
        await world.member(who, quarter.room_id, world.bot)
    else:
        await who.peer.join(quarter.room_id)
    await who.peer.say(quarter.room_id, f"We moved, {who.kind}")
    await quarter.heard(f"{who.name}: We moved, {who.kind}")
    await quarter.radio.say(NEAR, f"Found you, {who.kind}")
    world.is_from(await sees(quarter, who, f"Found you, {who.kind}"), NEAR, quarter)


ROWS: tuple[Row, ...] = (
    bridge,
    declared,
    text_to_the_radio,
    text_from_the_radio,
    reply_to_the_radio,
    reply_from_the_radio,
    thread,
    reaction_to_the_radio,
    tapback_from_the_radio,
    edit,
    redaction,
    image,
    poll,
    place_to_the_radio,
    place_from_the_radio,
    mention_from_the_radio,
    mention_to_the_radio,
    nick,
    status,
    private,
)
