# SPDX-License-Identifier: GPL-3.0-or-later
"""The Matrix bridge against a real homeserver, with matrix-nio as the people in the rooms."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridges.matrix import kind
from bridges.matrix.bridge import MatrixBridge
from bridges.matrix.convert import localpart
from bridges.sim.synapse import Synapse
from gateway.clock import SystemClock
from gateway.model import (
    Address,
    AuthFailed,
    BridgeContext,
    BridgeName,
    Certainty,
    Edit,
    Level,
    LinkDown,
    Message,
    NativeId,
    NotThere,
    RateLimited,
    Reaction,
    Redaction,
    Rejected,
    Sender,
    SenderId,
    Text,
    Unconfirmed,
)
from gateway.model import RoutedConversation as Routed
from tests.services import Town, build_town, forget_transactions, person

HOME = BridgeName("home")
RADIO = Address(BridgeName("radio"), "LongFast")
PATIENCE_S = 40


class Box:
    """One gateway box's Matrix bridge, as the core would build and feed it."""

    def __init__(self, town: Town, folder: Path, *, token: str | None = None, **table: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "token").write_text(token or town.bot.access_token)
        self.counts: list[str] = []
        self.context = BridgeContext(
            name=HOME,
            table={
                "kind": "matrix",
                "homeserver": town.server.url,
                "user_id": town.bot.user_id,
                "access_token_file": str(folder / "token"),
                **table,
            },
            state_dir=folder,
            clock=SystemClock(),
            random=random.Random(1),
            conversations=(Routed(name=town.alias),),
            count=self.counts.append,
        )
        kind.check(self.context.table)

    def bridge(self, **changes: Any) -> MatrixBridge:
        bridge = kind.create(replace(self.context, **changes))
        assert isinstance(bridge, MatrixBridge)
        return bridge


@pytest.fixture
def box(town: Town, tmp_path: Path) -> Box:
    return Box(town, tmp_path / "state")


@asynccontextmanager
async def listening(bridge: MatrixBridge) -> AsyncIterator[Any]:
    async with asyncio.timeout(PATIENCE_S), bridge, aclosing(bridge.receive()) as items:
        yield items


async def take(items: Any, number: int) -> list[Message]:
    return [await anext(items) for _ in range(number)]


def radio_says(body: str, *, number: int = 1, name: str = "Bea", **fields: Any) -> Message:
    given: dict[str, Any] = {"content": Text(body=body)} | fields
    return Message(
        native_id=NativeId(f"mt:a1b2c301:{number}"),
        origin=RADIO,
        sender=Sender(id=SenderId("!a1b2c301"), name=name),
        received_ms=1,
        **given,
    )


def bodies(messages: list[Message]) -> list[str]:
    return [message.content.body for message in messages if isinstance(message.content, Text)]


async def test_text_crosses_both_ways_under_names(town: Town, box: Box) -> None:
    bridge = box.bridge()
    async with listening(bridge) as items:
        event_id = await town.ali.say(town.room_id, "good morning")
        (message,) = await take(items, 1)

        assert message.content == Text(body="good morning")
        assert message.sender == Sender(id=SenderId(town.ali.id), name="Ali")
        assert message.origin == Address(HOME, town.alias)
        assert (message.native_id, message.remote_id) == (f"mx:{event_id}", event_id)
        assert message.resume

        receipt = await bridge.send(radio_says("from the <hill>\n& back"), Address(HOME, town.alias), key="k.0")
        (heard,) = await town.ali.heard(town.room_id)

    assert receipt.certainty is Certainty.SENT
    assert receipt.remote_id == heard["event_id"]
    content = heard["content"]
    assert content["body"] == "Bea: from the <hill>\n& back"
    assert content["formatted_body"] == (
        "<strong data-mx-profile-fallback>Bea: </strong>from the &lt;hill&gt;<br>&amp; back"
    )
    assert content["com.beeper.per_message_profile"] == {
        "id": "!a1b2c301",
        "displayname": "Bea",
        "has_fallback": True,
    }
    assert content["m.mentions"] == {}
    assert (content["org.crossband.id"], content["org.crossband.origin"]) == ("k.0", "radio/LongFast")


async def test_words_that_come_late_say_when_and_a_repeat_of_them_shows_the_first(town: Town, box: Box) -> None:
    bridge, to = box.bridge(), Address(HOME, town.alias)
    an_hour_ago = replace(radio_says("the bridge is out"), received_ms=box.context.clock.now_ms() - 3_600_000)
    async with asyncio.timeout(PATIENCE_S), bridge:
        first = await bridge.send(replace(an_hour_ago, received_ms=box.context.clock.now_ms()), to, key="a.0")
        again = await bridge.send(an_hour_ago, to, key="a.0")
        late = await bridge.send(an_hour_ago, to, key="b.0")
    in_time, shown = await town.ali.heard(town.room_id)
    assert first.remote_id == again.remote_id == in_time["event_id"] != late.remote_id
    assert in_time["content"]["body"] == "Bea: the bridge is out"
    assert re.fullmatch(r"Bea: \[([-0-9]+ )?\d\d:\d\d\] the bridge is out", shown["content"]["body"])


async def test_replies_keep_their_target_both_ways(town: Town, box: Box) -> None:
    bridge, to = box.bridge(), Address(HOME, town.alias)
    async with listening(bridge) as items:
        first = await bridge.send(radio_says("who is there?"), to, key="k1.0")
        relation = {"m.in_reply_to": {"event_id": first.remote_id}}
        await town.ali.say(town.room_id, "> <@x:y> who is there?\n\nme", **{"m.relates_to": relation})
        (message,) = await take(items, 1)
        assert message.content == Text(body="me")
        assert message.reply_to == first.remote_id

        await bridge.send(radio_says("hello", reply_to=message.remote_id), to, key="k2.0")
        heard = await town.ali.heard(town.room_id)
    assert heard[-1]["content"]["m.relates_to"] == {"m.in_reply_to": {"event_id": message.remote_id}}


async def test_reactions_edits_and_redactions_cross_both_ways(town: Town, box: Box) -> None:
    bridge, to = box.bridge(), Address(HOME, town.alias)
    async with listening(bridge) as items:
        said = await town.ali.say(town.room_id, "at nine")
        annotation = {"rel_type": "m.annotation", "event_id": said, "key": "👍"}
        await town.ali.put(town.room_id, "m.reaction", {"m.relates_to": annotation})
        replacing = {"rel_type": "m.replace", "event_id": said}
        new = {"msgtype": "m.text", "body": "at ten"}
        await town.ali.say(town.room_id, "* at ten", **{"m.new_content": new, "m.relates_to": replacing})
        contents = [message.content for message in await take(items, 3)]
        await town.ali.client.room_redact(town.room_id, said)
        contents += [message.content for message in await take(items, 1)]
        assert contents[1:] == [
            Reaction(target=said, emoji="👍"),
            Edit(target=said, body="at ten"),
            Redaction(target=said),
        ]

        mine = (await bridge.send(radio_says("at one"), to, key="k1.0")).remote_id
        await bridge.send(radio_says("", number=2, content=Edit(target=mine, body="at two")), to, key="k2.0")
        await bridge.send(radio_says("", number=3, content=Reaction(target=mine, emoji="👀")), to, key="k3.0")
        again = await bridge.send(radio_says("", number=4, content=Reaction(target=mine, emoji="👀")), to, key="k4.0")
        assert again.remote_id == "reaction:k4.0"
        events = await town.ali.events(town.room_id)
        edit = next(event["content"] for event in reversed(events) if "m.new_content" in event["content"])
        assert edit["m.new_content"]["body"] == "Bea: at two"
        assert edit["m.relates_to"] == {"rel_type": "m.replace", "event_id": mine}
        assert [event["content"]["m.relates_to"]["key"] for event in events if event["type"] == "m.reaction"][
            -1
        ] == "👀"

        await bridge.send(radio_says("", number=5, content=Redaction(target=mine)), to, key="k5.0")
        events = await town.ali.events(town.room_id)
    redacted = next(event for event in events if event["event_id"] == mine)
    assert "body" not in redacted["content"]
    assert events[-1]["content"]["org.crossband.id"] == "k5.0"


async def test_an_edit_by_somebody_else_is_not_taken(town: Town, box: Box) -> None:
    eve = await person(town.server, "eve")
    await town.ali.client.room_invite(town.room_id, eve.id)
    await eve.client.join(town.room_id)
    async with listening(box.bridge()) as items:
        said = await town.ali.say(town.room_id, "safe")
        forged = {"m.new_content": {"msgtype": "m.text", "body": "unsafe"}}
        await eve.say(
            town.room_id, "* unsafe", **forged, **{"m.relates_to": {"rel_type": "m.replace", "event_id": said}}
        )
        await town.ali.say(town.room_id, "end")
        assert bodies(await take(items, 2)) == ["safe", "end"]
    await eve.client.close()
    assert box.counts.count("matrix_skipped_foreign_edit") == 1


async def test_150_missed_messages_come_in_order_and_once(town: Town, box: Box) -> None:
    bridge = box.bridge()
    async with listening(bridge) as items:
        await town.ali.say(town.room_id, "before")
        (before,) = await take(items, 1)
        await bridge.send(radio_says("ours"), Address(HOME, town.alias), key="o.0")
    for number in range(150):
        await town.ali.say(town.room_id, f"m{number}")

    async with listening(box.bridge(resume=before.resume)) as items:
        missed = await take(items, 150)
        await town.ali.say(town.room_id, "after")
        (after,) = await take(items, 1)

    assert bodies(missed) == [f"m{number}" for number in range(150)]
    assert after.content == Text(body="after")
    assert [bool(message.resume) for message in missed] == [False] * 149 + [True]


async def chatter(town: Town, each: int, *, senders: int) -> dict[str, list[str]]:
    """Let `senders` people say `each` words at the same time; return what each said, in order."""
    await town.ali.state(town.room_id, "m.room.join_rules", {"join_rule": "public"})
    people = [await person(town.server, f"p{n}") for n in range(senders)]
    said: dict[str, list[str]] = {who.id: [f"{localpart(who.id)} {n}" for n in range(each)] for who in people}

    async def talk(who: Any) -> None:
        await who.client.join(town.alias)
        for words in said[who.id]:
            await who.say(town.room_id, words)

    try:
        await asyncio.gather(*map(talk, people))
    finally:
        for who in people:
            await who.client.close()
    return said


async def test_800_missed_messages_come_exactly_once_and_in_order(town: Town, box: Box) -> None:
    """More than a sync and 500 events of its past hold; the order is each person's own."""
    async with listening(box.bridge()) as items:
        await town.ali.say(town.room_id, "before")
        (before,) = await take(items, 1)
    said = await chatter(town, 100, senders=8)
    async with listening(box.bridge(resume=before.resume)) as items:
        missed = await take(items, 800)
        await town.ali.say(town.room_id, "after")
        assert bodies(await take(items, 1)) == ["after"]
    assert {who: bodies([m for m in missed if m.sender.id == who]) for who in said} == said
    assert [n for n, message in enumerate(missed, 1) if message.resume] == [800]
    assert not any(count.startswith(("matrix_catchup", "matrix_gap")) for count in box.counts)


async def test_what_is_too_much_to_catch_up_on_is_counted_and_said_once(
    town: Town, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridges.matrix.catchup.MAX_PAGES", 1)
    async with listening(box.bridge()) as items:
        await town.ali.say(town.room_id, "before")
        (before,) = await take(items, 1)
    for number in range(230):
        await town.ali.say(town.room_id, f"m{number}")
    for _ in range(2):
        bridge = box.bridge(resume=before.resume)
        async with listening(bridge) as items:
            missed = await take(items, 200)
    assert bodies(missed) == [f"m{number}" for number in range(30, 230)]
    assert bridge.describe()["not_carried"].startswith(f"{town.alias}: 30 messages")
    notices = [e["content"]["body"] for e in await town.ali.heard(town.room_id)]
    assert notices == ["30 messages from while I was away were not carried."]


async def replaced(town: Town) -> str:
    """Upgrade the room, as its admin's client does; return the new room."""
    path = f"/_matrix/client/v3/rooms/{town.room_id}/upgrade"
    made = await town.server.request("POST", path, {"new_version": "11"}, token=town.ali.account.access_token)
    return str(made["replacement_room"])


async def test_a_room_that_is_replaced_is_followed_under_its_spelling(town: Town, box: Box) -> None:
    await town.ali.state(town.room_id, "m.room.join_rules", {"join_rule": "public"})
    old, to = town.room_id, Address(HOME, town.room_id)
    routed = (Routed(name=old, exposed_to=(RADIO,)),)
    bridge = box.bridge(conversations=routed)
    async with listening(bridge) as items:
        await town.ali.say(old, "last words")
        new = await replaced(town)
        assert bodies(await take(items, 1)) == ["last words"]
        waiting = asyncio.ensure_future(anext(items))
        await in_room(town, new)
        await town.ali.say(new, "first words")
        first = await waiting
        assert (first.origin, bodies([first])) == (to, ["first words"])
        receipt = await bridge.send(radio_says("here too"), to, key="h.0")
        assert bridge.describe()["rooms"] == "1 of 1"
    told, spoken = await town.ali.heard(new)
    assert told["content"]["msgtype"] == "m.notice"
    assert spoken["event_id"] == receipt.remote_id

    async with asyncio.timeout(PATIENCE_S), box.bridge(conversations=routed) as anew:
        await anew.send(radio_says("and again"), to, key="a.0")
    assert len(await town.ali.heard(new)) == 3


async def in_room(town: Town, room_id: str) -> None:
    """Wait until the gateway's account has joined."""
    while True:
        state = await town.ali.client.room_get_state_event(room_id, "m.room.member", town.bot.user_id)
        if getattr(state, "content", {}).get("membership") == "join":
            return
        await asyncio.sleep(0.05)


async def test_what_was_said_before_a_room_was_replaced_while_we_were_away_is_carried(town: Town, box: Box) -> None:
    await town.ali.state(town.room_id, "m.room.join_rules", {"join_rule": "public"})
    async with listening(box.bridge()) as items:
        await town.ali.say(town.room_id, "before")
        (before,) = await take(items, 1)
    await town.ali.say(town.room_id, "last words")
    new = await replaced(town)
    async with listening(box.bridge(resume=before.resume)) as items:
        (last,) = await take(items, 1)
        await town.ali.say(new, "first words")
        (first,) = await take(items, 1)
    assert bodies([last, first]) == ["last words", "first words"]
    assert {last.origin, first.origin} == {Address(HOME, town.alias)}


async def test_a_replaced_room_whose_successor_is_closed_waits_for_an_invitation(town: Town, box: Box) -> None:
    to = Address(HOME, town.alias)
    bridge = box.bridge()
    async with listening(bridge) as items:
        waiting = asyncio.ensure_future(anext(items))
        new = await replaced(town)
        await until(lambda: "replaced" in bridge.describe().get(town.alias, ""))
        with pytest.raises(NotThere, match="invite us"):
            await bridge.send(radio_says("hello?"), to, key="h.0")
        await town.ali.client.room_invite(new, town.bot.user_id)
        await in_room(town, new)
        await town.ali.say(new, "welcome")
        assert (await waiting).origin == to
        await bridge.send(radio_says("thanks"), to, key="t.0")


async def test_a_room_that_is_not_the_successor_is_not_spoken_in(town: Town, box: Box) -> None:
    stranger = await town.ali.create_room()
    await town.ali.state(stranger, "m.room.join_rules", {"join_rule": "public"})
    async with asyncio.timeout(PATIENCE_S), box.bridge():
        pass
    await town.ali.state(town.room_id, "m.room.tombstone", {"body": "moved", "replacement_room": stranger})
    bridge = box.bridge()
    async with asyncio.timeout(PATIENCE_S), bridge:
        with pytest.raises(NotThere, match="doesn't say so"):
            await bridge.send(radio_says("hello?"), Address(HOME, town.alias), key="h.0")
        assert "doesn't say so" in bridge.describe()[town.alias]


async def test_what_was_not_stored_comes_again(town: Town, box: Box) -> None:
    bridge = box.bridge()
    async with listening(bridge) as items:
        await town.ali.say(town.room_id, "one")
        (first,) = await take(items, 1)  # stored or not, nobody asked for the next one
    async with listening(bridge) as items:
        (again,) = await take(items, 1)
        assert again.id == first.id
        await town.ali.say(town.room_id, "two")
        (second,) = await take(items, 1)
    async with listening(box.bridge(resume=again.resume)) as items:
        assert [message.id for message in await take(items, 1)] == [second.id]


async def test_what_is_said_before_the_first_message_survives_a_restart(town: Town, box: Box) -> None:
    async with asyncio.timeout(PATIENCE_S), box.bridge():
        pass
    await town.ali.say(town.room_id, "anybody there?")
    async with listening(box.bridge()) as items:
        assert bodies(await take(items, 1)) == ["anybody there?"]


async def test_history_from_before_we_came_is_not_carried(town: Town, box: Box) -> None:
    for number in range(3):
        await town.ali.say(town.room_id, f"old {number}")
    box.context = replace(box.context, level_of=lambda _: Level.ADMIN)
    async with listening(box.bridge()) as items:
        await town.ali.say(town.room_id, "new")
        assert bodies(await take(items, 1)) == ["new"]
        other = await town.ali.create_room()
        await town.ali.say(other, "before the invitation")
        await town.ali.client.room_invite(other, town.bot.user_id)
        await town.ali.say(town.room_id, "marker")
        (marker,) = await take(items, 1)
        waiting = asyncio.ensure_future(anext(items))
        await joined(town, other)
        await town.ali.say(other, "after the invitation")
        said = await waiting
    assert marker.content == Text(body="marker")
    assert said.content == Text(body="after the invitation")
    assert said.origin == Address(HOME, other)


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await asyncio.sleep(0.02)


async def joined(town: Town, room_id: str) -> None:
    """Wait until the gateway's account is in the room, or has declined."""
    while True:
        state = await town.ali.client.room_get_state_event(room_id, "m.room.member", town.bot.user_id)
        if state.content["membership"] != "invite":
            return
        await asyncio.sleep(0.05)


async def test_alias_and_id_are_one_conversation(town: Town, box: Box) -> None:
    assert ":" not in town.room_id, "room version 12: the id names no server"
    bridge = box.bridge(conversations=(Routed(name=town.room_id), Routed(name=town.alias)))
    async with listening(bridge) as items:
        await town.ali.say(town.room_id, "hi")
        (message,) = await take(items, 1)
        assert message.origin == Address(HOME, town.room_id)
        for spelling in (town.room_id, town.alias):
            await bridge.send(radio_says(spelling), Address(HOME, spelling), key=f"{spelling}.0")
    assert len(await town.ali.heard(town.room_id)) == 2


async def test_only_those_permitted_may_invite(town: Town, box: Box) -> None:
    eve = await person(town.server, "eve")
    level = {town.ali.id: Level.COMMANDS, eve.id: Level.TRANSMIT}
    bridge = box.bridge(level_of=lambda sender: level[sender])
    async with listening(bridge) as items:
        waiting = asyncio.ensure_future(anext(items))
        wanted = await town.ali.create_room(invite=(town.bot.user_id,))
        unwanted = await eve.create_room(invite=(town.bot.user_id,))
        await joined(town, wanted)
        await joined(replace_ali(town, eve), unwanted)
        there = await eve.client.room_get_state_event(unwanted, "m.room.member", town.bot.user_id)
        assert there.content["membership"] == "leave"
        await town.ali.say(wanted, "hello")
        assert (await waiting).origin == Address(HOME, wanted)
    await eve.client.close()
    assert "matrix_invite_declined" in box.counts


def replace_ali(town: Town, ali: Any) -> Town:
    return replace(town, ali=ali)


async def test_a_configured_room_is_entered_when_the_invitation_comes(town: Town, box: Box) -> None:
    room_id = await town.ali.create_room()
    bridge = box.bridge(conversations=(Routed(name=room_id, exposed_to=(RADIO,)),))
    async with listening(bridge) as items:
        with pytest.raises(NotThere):
            await bridge.send(radio_says("too early"), Address(HOME, room_id), key="e.0")
        assert "invite" in bridge.describe()[room_id]
        waiting = asyncio.ensure_future(anext(items))
        await town.ali.client.room_invite(room_id, town.bot.user_id)
        await joined(town, room_id)
        await town.ali.say(room_id, "welcome")
        assert (await waiting).origin == Address(HOME, room_id)
        await bridge.send(radio_says("thanks"), Address(HOME, room_id), key="t.0")
    kinds = [event["content"]["msgtype"] for event in await town.ali.heard(room_id)]
    assert kinds == ["m.notice", "m.text"]


async def test_an_encrypted_room_is_refused_in_words_unless_allowed(town: Town, box: Box) -> None:
    bridge, to = box.bridge(), Address(HOME, town.alias)
    async with listening(bridge) as items:
        await bridge.send(radio_says("in clear"), to, key="c.0")
        await town.ali.state(town.room_id, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
        await town.ali.say(town.room_id, "in clear, by mistake")
        other = await town.ali.create_room(invite=(town.bot.user_id,))
        waiting = asyncio.ensure_future(anext(items))
        await joined(town, other)
        with pytest.raises(NotThere, match="room is encrypted: set allow_encrypted = true"):
            await bridge.send(radio_says("no"), to, key="n.0")
        while "matrix_skipped_closed" not in box.counts:  # the invitation is answered before what was said is read
            await asyncio.sleep(0.02)
        waiting.cancel()
        await asyncio.wait([waiting])
    assert bridge.describe()[town.alias].startswith("room is encrypted")

    refused = box.bridge()
    async with asyncio.timeout(PATIENCE_S), refused:
        with pytest.raises(NotThere, match="encrypted"):
            await refused.send(radio_says("no"), to, key="n.0")
    for allowed in (True, [town.alias], [town.room_id]):
        bridge = box.bridge(table={**box.context.table, "allow_encrypted": allowed})
        async with asyncio.timeout(PATIENCE_S), bridge:
            await bridge.send(radio_says("yes"), to, key="y.0")


async def test_a_room_is_told_of_the_radio_once(town: Town, box: Box) -> None:
    exposed = (Routed(name=town.alias, exposed_to=(RADIO,)), Routed(name=town.room_id))
    for _ in range(2):
        async with asyncio.timeout(PATIENCE_S), box.bridge(conversations=exposed):
            pass
    (told,) = await town.ali.heard(town.room_id)
    assert told["content"]["msgtype"] == "m.notice"
    assert "via radio/LongFast" in told["content"]["body"]

    (box.context.state_dir / "notices.json").unlink()
    async with asyncio.timeout(PATIENCE_S), box.bridge(conversations=exposed):
        pass
    assert len(await town.ali.heard(town.room_id)) == 1, "the transaction id says it was told"


async def test_a_wrong_token_or_a_token_of_another_is_refused(town: Town, tmp_path: Path) -> None:
    for number, token in enumerate(("syt_wrong", town.ali.account.access_token)):
        bridge = Box(town, tmp_path / str(number), token=token).bridge()
        with pytest.raises(AuthFailed):
            await bridge.__aenter__()
    with pytest.raises(AuthFailed, match="crossband matrix login"):
        await Box(town, tmp_path, access_token_file=str(tmp_path / "none")).bridge().__aenter__()


async def test_a_token_taken_back_ends_receiving_and_leaves_messages_to_wait(town: Town, box: Box) -> None:
    bridge = box.bridge()
    async with listening(bridge) as items:
        await town.server.request("POST", "/_matrix/client/v3/logout", {}, token=town.bot.access_token)
        with pytest.raises(LinkDown):
            await bridge.send(radio_says("hm"), Address(HOME, town.alias), key="h.0")
        with pytest.raises(AuthFailed):
            await anext(items)


async def test_a_password_is_enough_and_the_token_is_kept(town: Town, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(f"{town.bot.password}\n")
    box = Box(town, tmp_path / "state")
    table = {key: value for key, value in box.context.table.items() if key != "access_token_file"}
    box.context = replace(box.context, table={**table, "password_file": str(secret)})
    kept = box.context.state_dir / "login.json"
    for _ in range(2):
        async with asyncio.timeout(PATIENCE_S), box.bridge():
            written = kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.read_text() == written


async def test_too_large_a_message_and_a_room_that_is_mute_are_rejected(town: Town, box: Box) -> None:
    bridge, to = box.bridge(), Address(HOME, town.alias)
    async with asyncio.timeout(PATIENCE_S), bridge:
        with pytest.raises(Rejected):
            await bridge.send(radio_says("x" * 70_000), to, key="l.0")
        fits = bridge.capabilities.room_for(Text(body=""), to, False)
        await bridge.send(radio_says('"' * fits, name="N" * 255), to, key="q.0")
        await bridge.send(radio_says("&" * fits), to, key="a.0")
        edited = (await bridge.send(radio_says("short"), to, key="s.0")).remote_id
        edit = Edit(target=edited, body="")
        longest = '"' * bridge.capabilities.room_for(edit, to, False)
        await bridge.send(radio_says("", content=replace(edit, body=longest)), to, key="e.0")
        levels = {"events_default": 50, "users": {}}
        await town.ali.state(town.room_id, "m.room.power_levels", levels)
        with pytest.raises(Rejected):
            await bridge.send(radio_says("may I?"), to, key="m.0")


async def test_put_out_of_the_room_it_waits_to_be_let_in(town: Town, box: Box) -> None:
    bridge, to = box.bridge(), Address(HOME, town.alias)
    async with asyncio.timeout(PATIENCE_S), bridge:
        await town.ali.state(town.room_id, "m.room.join_rules", {"join_rule": "invite"})
        await town.ali.client.room_kick(town.room_id, town.bot.user_id)
        with pytest.raises(NotThere):
            await bridge.send(radio_says("hello?"), to, key="h.0")
        await town.ali.state(town.room_id, "m.room.join_rules", {"join_rule": "public"})
        await bridge.__aexit__(None, None, None)
        await bridge.__aenter__()
        await bridge.send(radio_says("hello?"), to, key="h.0")


async def test_hostile_events_are_counted_and_the_next_one_arrives(town: Town, box: Box) -> None:
    hostile: list[tuple[str, dict[str, Any]]] = [
        ("m.room.message", {}),
        ("m.room.message", {"msgtype": 7, "body": ["x"]}),
        ("m.room.message", {"msgtype": "m.text", "body": None, "format": "org.matrix.custom.html"}),
        ("m.room.message", {"msgtype": "m.notice", "body": "a bot"}),
        ("m.room.message", {"msgtype": "m.text", "body": "x", "org.crossband.origin": "elsewhere"}),
        ("m.room.message", {"msgtype": "m.text", "body": "x", "m.relates_to": {"rel_type": "m.replace"}}),
        ("m.reaction", {"m.relates_to": {"event_id": "$x"}}),
        ("m.reaction", {"m.relates_to": "x"}),
        ("m.room.encrypted", {"algorithm": "m.megolm.v1.aes-sha2"}),
        ("org.example.any", {"body": {"deep": nested(40)}}),
    ]
    async with listening(box.bridge()) as items:
        sent = [await town.ali.client.room_send(town.room_id, type_, content) for type_, content in hostile]
        await town.ali.say(town.room_id, "x" * 50_000)
        await town.ali.say(town.room_id, "still here")
        long, last = await take(items, 2)
    assert bodies([long, last]) == ["x" * 50_000, "still here"]
    taken = sum(hasattr(answer, "event_id") for answer in sent)  # a few this homeserver refuses itself
    assert sum(count.startswith("matrix_skipped_") for count in box.counts) >= taken > 5


def nested(depth: int) -> Any:
    value: Any = "core"
    for _ in range(depth):
        value = [value]
    return value


async def test_a_hostile_display_name_is_one_short_line(town: Town, box: Box) -> None:
    name = "Ali\u202eevil\n\u0007Admin: " + "x" * 300
    await town.ali.client.set_displayname(name[:250])
    async with listening(box.bridge()) as items:
        await town.ali.say(town.room_id, "hi")
        (message,) = await take(items, 1)
    assert message.sender.name.startswith("Alievil Admin x")
    assert len(message.sender.name.encode()) <= 255


async def test_a_server_that_asks_for_patience_is_given_it(tmp_path: Path) -> None:
    from tests.services import synapse_or_skip

    slow = {"rc_message": {"per_second": 0.2, "burst_count": 4}}
    async with Synapse(tmp_path / "synapse", python=synapse_or_skip(), settings=slow) as server:
        town = await build_town(server)
        bridge, to = Box(town, tmp_path / "state").bridge(), Address(HOME, town.alias)
        async with asyncio.timeout(PATIENCE_S), bridge:
            sending = [bridge.send(radio_says("fast"), to, key=f"{number}.0") for number in range(20)]
            results = await asyncio.gather(*sending, return_exceptions=True)
        await town.ali.client.close()
    assert all(result.for_all for result in results if isinstance(result, RateLimited))
    patience = [result.retry_after_s or 0 for result in results if isinstance(result, RateLimited)]
    assert len(patience) > 5
    assert all(0 < seconds < 120 for seconds in patience)


async def test_the_homeserver_dies_hangs_and_comes_back(own_synapse: Synapse, tmp_path: Path) -> None:
    town = await build_town(own_synapse)
    bridge, to = Box(town, tmp_path / "state").bridge(), Address(HOME, town.alias)
    async with listening(bridge) as items:
        await town.ali.say(town.room_id, "before")
        await take(items, 1)
        waiting = asyncio.ensure_future(anext(items))
        await asyncio.sleep(0)
        await own_synapse.kill()
        with pytest.raises(LinkDown):
            await waiting
        with pytest.raises((LinkDown, Unconfirmed)):
            await bridge.send(radio_says("into the void"), to, key="v.0")
    with pytest.raises(LinkDown):
        await bridge.__aenter__()
    await own_synapse.start()
    await town.ali.say(town.room_id, "while you were away")
    async with listening(bridge) as items:
        assert bodies(await take(items, 1)) == ["while you were away"]
        await bridge.send(radio_says("into the void"), to, key="v.0")
    assert len(await town.ali.heard(town.room_id)) == 1
    await town.ali.client.close()


async def test_whatever_was_sent_is_found_again_by_its_key_when_its_transaction_id_is_forgotten(
    own_synapse: Synapse, tmp_path: Path
) -> None:
    town = await build_town(own_synapse)
    box = Box(town, tmp_path / "state")
    to, began_ms = Address(HOME, town.alias), box.context.clock.now_ms()
    async with asyncio.timeout(PATIENCE_S):
        async with box.bridge() as bridge:
            said = (await bridge.send(radio_says("at nine"), to, key="k0.0")).remote_id
            contents = (Edit(target=said, body="at ten"), Reaction(target=said, emoji="👍"), Redaction(target=said))
            more = [radio_says("", number=n, content=content) for n, content in enumerate(contents, 1)]
            sent = [(await bridge.send(message, to, key=f"k{n}.0")).remote_id for n, message in enumerate(more, 1)]
            doubled = (await bridge.send(radio_says("twice"), to, key="k4.0")).remote_id
        await own_synapse.stop()
        assert forget_transactions(own_synapse) == 5
        await own_synapse.start()
        async with box.bridge() as bridge:
            assert bridge.remembers_since_ms() >= began_ms
            found = [await bridge.recall(to, key=f"k{n}.0", since_ms=began_ms) for n in range(6)]
            again = (await bridge.send(radio_says("twice"), to, key="k4.0")).remote_id
    assert [receipt.remote_id if receipt else None for receipt in found] == [None, *sent, doubled, None], (
        "all but what was taken back, which says nothing any more, and what never was"
    )
    assert again != doubled, "without looking it shows twice"
    await town.ali.client.close()


async def test_a_sync_token_the_server_does_not_know_starts_anew_without_replay(town: Town, box: Box) -> None:
    async with asyncio.timeout(PATIENCE_S), box.bridge():
        await town.ali.say(town.room_id, "old")
    (box.context.state_dir / "since.json").unlink()
    bridge = box.bridge(resume="nonsense")
    async with listening(bridge) as items:
        waiting = asyncio.ensure_future(anext(items))
        await until((box.context.state_dir / "since.json").exists)
        assert "matrix_since_refused" in box.counts
        assert "no longer knew" in bridge.describe()["not_carried"]
        await town.ali.say(town.room_id, "new")
        assert bodies([await waiting]) == ["new"]


async def test_another_box_goes_on_reading_where_this_one_was_and_repeats_nothing(
    town: Town, box: Box, tmp_path: Path
) -> None:
    standby = Box(town, tmp_path / "standby").bridge()
    holder = box.bridge()
    to = Address(HOME, town.alias)
    assert holder.position is None
    async with listening(holder) as items:
        await town.ali.say(town.room_id, "one")
        await take(items, 1)
        where = holder.position  # not stored yet: the next one wasn't asked for
        await holder.send(radio_says("ours"), to, key="k.0")
    assert where is not None
    await town.ali.say(town.room_id, "two")

    standby.go_on_from(where)
    async with listening(standby) as items:
        assert bodies(await take(items, 2)) == ["one", "two"]
        await standby.send(radio_says("ours"), to, key="k.0")

    ours = [event for event in await town.ali.heard(town.room_id) if event["content"]["body"].endswith("ours")]
    assert len(ours) == 1
