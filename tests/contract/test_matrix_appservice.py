# SPDX-License-Identifier: GPL-3.0-or-later
"""Appservice mode against a real homeserver: ghosts, their names, pictures, times and rooms."""

from __future__ import annotations

import asyncio
import io
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from bridges.sim.loopback import LOOPBACK
from gateway.model import Address, AuthFailed, Edit, Joined, Level, Listener, NoDesk, Reaction, Redaction, Text
from tests.appservice import (
    PATIENCE_S,
    RADIO,
    Registered,
    Village,
    hearing,
    node_says,
    registered,
    until,
    village,
    words,
)
from tests.clocks import StandingClock

HOUR_MS = 3_600_000
NAME_OF_GHOST = "@mesh_a1b2c301:gw.test"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Registered]:
    async with registered(tmp_path_factory.mktemp("appservice")) as made:
        yield made


@pytest.fixture(params=["12", "11"])
async def town(home: Registered, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Village]:
    async with village(home, tmp_path / "box", room_version=request.param) as made:
        yield made


class Knows(NoDesk):
    """A desk that knows nodes, and one room that is joined with a channel."""

    def __init__(self, room: Address) -> None:
        self._route = Joined(route="town", ends=(room, RADIO), exposed_to=(RADIO,), direct=False, by=None, at_ms=None)

    def resolve(self, there: str) -> Address:
        return Address(RADIO.bridge, there)

    def has_met(self, person: Address) -> bool:
        return person.bridge == RADIO.bridge

    def joined(self, here: Address) -> Sequence[Joined]:
        return [self._route] if here in self._route.ends else []


async def profile(town: Village, user_id: str) -> dict[str, Any]:
    answer = await town.server.request(
        "GET", f"/_matrix/client/v3/profile/{user_id}", token=town.ali.account.access_token
    )
    return dict(answer)


async def membership(town: Village, user_id: str) -> str:
    answer = await town.ali.client.room_get_state_event(town.room_id, "m.room.member", user_id)
    return str(answer.content["membership"])


async def test_a_node_speaks_under_a_name_and_picture_of_its_own(town: Village, capfd: pytest.CaptureFixture[str]):
    bridge = town.bridge()
    async with hearing(bridge) as heard:
        receipt = await bridge.send(node_says("hello <b>"), town.there, key="names.0")
        await bridge.send(node_says("hi", node="~bea", name="Bea"), town.there, key="names.1")
        await bridge.send(node_says("hi", node="~Cem@hill", name="Cem"), town.there, key="names.2")
        said = await town.ali.say(town.room_id, "good morning")
        await until(lambda: heard)
    node, alien, lan = await town.shown()

    assert (node["sender"], node["event_id"]) == (NAME_OF_GHOST, receipt.remote_id)
    assert (node["content"]["body"], node["content"]["m.mentions"]) == ("hello <b>", {})
    assert "com.beeper.per_message_profile" not in node["content"]
    assert (alien["sender"], alien["content"]["body"]) == (town.bot_id, "Bea: hi")
    assert lan["sender"] == "@lan__cem:gw.test"
    look = await profile(town, NAME_OF_GHOST)
    assert look["displayname"] == "Bea (mesh)"
    assert look["avatar_url"].startswith("mxc://")
    assert (await profile(town, lan["sender"]))["displayname"] == "Cem (LAN)"
    assert [(message.remote_id, message.origin) for message in heard] == [(said, town.there)]
    assert isinstance(bridge, Listener)
    logged = "".join(capfd.readouterr())
    assert "matrix_ghost_joined" in logged
    for secret in (town.home.tokens["as_token"], town.home.tokens["hs_token"], "hello", "good morning"):
        assert secret not in logged


async def test_a_gateway_that_forgot_its_ghosts_finds_them_as_they_are(town: Village):
    async with hearing(town.bridge()) as _:
        pass
    first, second = town.bridge(), town.bridge()
    async with hearing(first):
        await first.send(node_says("one"), town.there, key="again.0")
    look = await profile(town, NAME_OF_GHOST)
    kept = town.folder / "ghosts.json"
    assert "mesh_a1b2c301" in kept.read_text()
    kept.write_text("damaged")
    async with hearing(second):
        await second.send(node_says("two"), town.there, key="again.1")

    assert [event["content"]["body"] for event in await town.shown()] == ["one", "two"]
    assert await profile(town, NAME_OF_GHOST) == look


async def test_a_node_is_renamed_at_most_once_an_hour(town: Village):
    node = f"!{town.room_id.encode()[1:5].hex()}"
    bridge = town.bridge()
    async with hearing(bridge):
        for number, name in enumerate([node, "Hill", "Valley"]):
            await bridge.send(node_says("x", node=node, name=name), town.there, key=f"rename.{number}")

    assert (await profile(town, f"@mesh_{node[1:]}:gw.test"))["displayname"] == "Hill (mesh)"


async def test_words_that_come_late_have_the_time_they_were_said(town: Village):
    clock = StandingClock()
    bridge, now_ms = town.bridge(clock=clock), clock.now_ms()
    async with hearing(bridge):
        for number, ago_ms in enumerate((HOUR_MS, -HOUR_MS, now_ms - 1, 0)):
            await bridge.send(node_says("x", received_ms=now_ms - ago_ms), town.there, key=f"late.{number}")
        await bridge.send(node_says("y", received_ms=now_ms, late_ms=HOUR_MS), town.there, key="late.kept")
    late, future, unset, now, kept = await town.shown()

    assert kept["origin_server_ts"] == kept["content"]["org.crossband.said_ms"] == now_ms - HOUR_MS
    assert late["origin_server_ts"] == late["content"]["org.crossband.said_ms"] == now_ms - HOUR_MS
    assert late["content"]["body"] == "x"
    for event in (future, unset, now):
        assert abs(event["origin_server_ts"] - now_ms) < PATIENCE_S * 1000
        assert "org.crossband.said_ms" not in event["content"]


async def test_two_ghosts_with_one_transaction_id_in_one_room_are_both_heard(town: Village):
    bridge = town.bridge()
    async with hearing(bridge):
        one = await bridge.send(node_says("one"), town.there, key="same.0")
        other = await bridge.send(node_says("other", node="!a1b2c302"), town.there, key="same.0")
        again = await bridge.send(node_says("one"), town.there, key="same.0")

    assert one.remote_id == again.remote_id != other.remote_id
    assert [event["content"]["body"] for event in await town.shown()] == ["one", "other"]


async def test_reactions_edits_and_redactions_are_the_ghosts_own(town: Village):
    bridge = town.bridge()
    async with hearing(bridge) as heard:
        asked = await town.ali.say(town.room_id, "tea?")
        await bridge.send(node_says("", content=Reaction(target=asked, emoji="👍")), town.there, key="rel.0")
        twice = await bridge.send(node_says("", content=Reaction(target=asked, emoji="👍")), town.there, key="rel.1")
        mine = (await bridge.send(node_says("at one", reply_to=asked), town.there, key="rel.2")).remote_id
        await bridge.send(node_says("", content=Edit(target=mine, body="at two")), town.there, key="rel.3")
        await bridge.send(node_says("", content=Redaction(target=mine)), town.there, key="rel.4")
        theirs = (await bridge.send(node_says("b", node="api:x"), town.there, key="rel.5")).remote_id
        await bridge.send(node_says("", content=Edit(target=theirs, body="c")), town.there, key="rel.6")
        await until(lambda: heard)
    events = {event["content"].get("org.crossband.id"): event for event in await town.ali.events(town.room_id)}

    assert events["rel.0"]["sender"] == NAME_OF_GHOST
    assert twice.remote_id == "reaction:rel.1"
    assert events["rel.3"]["sender"] == NAME_OF_GHOST
    assert events["rel.3"]["content"]["body"] == "* at two"
    assert events["rel.4"]["sender"] == NAME_OF_GHOST
    assert events["rel.6"]["sender"] == town.bot_id
    assert words(heard) == ["tea?"]


async def test_where_ghosts_may_not_speak_the_bot_speaks_for_them_and_says_why(town: Village):
    bridge = town.bridge()
    async with hearing(bridge):
        powers = await town.server.request(
            "GET",
            f"/_matrix/client/v3/rooms/{town.room_id}/state/m.room.power_levels/",
            token=town.ali.account.access_token,
        )
        powers["users"][town.bot_id] = 50
        await town.ali.state(town.room_id, "m.room.power_levels", {**powers, "events_default": 50})
        await bridge.send(node_says("one"), town.there, key="kept.0")
        await bridge.send(node_says("two"), town.there, key="kept.1")
        facts = bridge.describe()
    shown = [(event["sender"], event["content"]["body"]) for event in await town.shown()]

    assert shown == [(town.bot_id, "Bea: one"), (town.bot_id, "Bea: two")]
    assert "M_FORBIDDEN" in facts["ghosts_stay_out"]
    assert town.counts.count("matrix_ghost_kept_out") == 1


async def test_ghosts_stay_out_of_encrypted_rooms(home: Registered, tmp_path: Path):
    encryption = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
    async with village(home, tmp_path / "box", initial_state=[encryption]) as town:
        context = town.bridge()._context
        bridge = town.bridge(table=context.table | {"allow_encrypted": True})
        async with hearing(bridge):
            await bridge.send(node_says("one"), town.there, key="secret.0")
            assert bridge.describe()["ghosts_stay_out"] == f"{town.room_id}: the room is encrypted"
        senders = {event["sender"] for event in await town.ali.events(town.room_id)}
    assert senders == {town.ali.id, town.bot_id}


async def test_files_and_transactions_are_served_on_one_address(town: Village):
    url = f"http://{LOOPBACK}:{town.home.port}"
    bridge = town.bridge(table=town.bridge()._context.table | {"files": {"url": url}})
    data = secrets.token_bytes(1_000)
    async with hearing(bridge) as heard, httpx.AsyncClient() as browser:
        uploaded, _ = await town.ali.client.upload(
            lambda *_: io.BytesIO(data), content_type="image/png", filesize=1_000
        )
        await town.ali.say(town.room_id, "cat.png", msgtype="m.image", url=uploaded.content_uri, info={"size": 1_000})
        await until(lambda: heard)
        said = heard[0].content
        assert isinstance(said, Text)
        fetched = await browser.get(said.link)
        alien = await browser.post(f"{url}/_matrix/app/v1/ping")
        facts = bridge.describe()
    assert (fetched.status_code, fetched.content) == (200, data)
    assert alien.status_code == 403
    assert facts["ping"].startswith("ok")


async def test_who_asks_ghosts_into_a_bridged_room_changes_nothing_in_it(town: Village):
    bridge = town.bridge(level_of=lambda _: Level.TRANSMIT, desk=Knows(town.there))
    async with hearing(bridge) as heard:
        await town.ali.client.room_invite(town.room_id, "@mesh_0badcaf1:gw.test")
        while await membership(town, "@mesh_0badcaf1:gw.test") != "join":
            await asyncio.sleep(0.05)
        await town.ali.say(town.room_id, "hello all")
        await until(lambda: heard)
        assert not bridge._ghost_rooms.counts(town.room_id, is_synced=True, is_routed=True, now_s=time.monotonic())
    assert words(heard) == ["hello all"]


async def test_two_boxes_share_ghosts_and_never_carry_each_others_words(town: Village, tmp_path: Path):
    other = Village(home=town.home, ali=town.ali, room_id=town.room_id, folder=tmp_path / "b", bot=f"{town.bot}-b")
    await town.ali.client.room_invite(town.room_id, other.bot_id)
    one, two = town.bridge(), other.bridge(listen=False)
    async with hearing(one) as heard, hearing(two) as heard_too:
        sent = await one.send(node_says("one"), town.there, key="shared.0")
        same = await two.send(node_says("one"), town.there, key="shared.0")
        await two.send(node_says("two", number=2), town.there, key="shared.1")
        await town.ali.say(town.room_id, "all")
        await until(lambda: heard and heard_too)

    assert sent.remote_id == same.remote_id
    assert {event["sender"] for event in await town.shown()} == {NAME_OF_GHOST}
    assert (words(heard), words(heard_too)) == (["all"], ["all"])
    assert not isinstance(two, Listener)


async def test_what_was_said_is_found_again_whichever_ghost_said_it(town: Village):
    bridge = town.bridge()
    async with hearing(bridge):
        now_ms = node_says("").received_ms
        late = await bridge.send(node_says("x", received_ms=now_ms - 9 * HOUR_MS), town.there, key="recall.0")
        for number in range(3):
            await bridge.send(node_says("y", node=f"!a1b2c31{number}"), town.there, key=f"recall.{number + 1}")
        found = await bridge.recall(town.there, key="recall.0", since_ms=now_ms - 1_000)
        none = await bridge.recall(town.there, key="recall.9", since_ms=now_ms - 1_000)

    assert (found, none) == (late, None)


async def test_a_user_outside_of_the_registration_is_refused_with_the_mend(town: Village):
    town.bot = "somebody"
    with pytest.raises(AuthFailed, match="not one of the users the registration names"):
        await town.bridge().__aenter__()


async def test_a_homeserver_that_knows_no_such_registration_is_said_with_the_mend(town: Village, tmp_path: Path):
    stranger = tmp_path / "other.yaml"
    stranger.write_text(town.home.file.read_text().replace(town.home.tokens["as_token"], "x" * 64))
    bridge = town.bridge()
    bridge = town.bridge(table=bridge._context.table | {"registration_file": str(stranger)})
    with pytest.raises(AuthFailed, match="app_service_config_files"):
        await bridge.__aenter__()


async def test_without_being_reached_everything_but_pushes_works(town: Village):
    bridge = town.bridge(listen=False)
    async with hearing(bridge) as heard:
        await bridge.send(node_says("out"), town.there, key="nat.0")
        await town.ali.say(town.room_id, "in")
        await until(lambda: heard)
        facts = bridge.describe()
    assert [event["sender"] for event in await town.shown()] == [NAME_OF_GHOST]
    assert words(heard) == ["in"]
    assert (facts["mode"], facts["listener"], facts["last_transaction"]) == ("appservice", "none", "never")
