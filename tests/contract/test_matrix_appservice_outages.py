# SPDX-License-Identifier: GPL-3.0-or-later
"""What an application service can lose or double, on a homeserver that is really killed."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import pytest_asyncio

from bridges.matrix.appservice.bridge import AppserviceBridge
from gateway.model import Level, RoutedConversation
from tests.appservice import Gate, Registered, Village, node_says, registered, serving, until, village, words, working

GHOST = "@mesh_0badcafe:gw.test"
SHY = "@mesh_0badcaf2:gw.test"
"""One that doesn't answer."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Registered]:
    async with registered(tmp_path_factory.mktemp("appservice"), database="file") as made:
        yield made


@pytest.fixture
async def town(home: Registered, tmp_path: Path) -> AsyncIterator[Village]:
    async with village(home, tmp_path / "box") as made:
        yield made


def ghost_comes(bridge: AppserviceBridge) -> list[tuple[str, str, str]]:
    """Let ghosts follow invitations; return who was asked where by whom."""
    asked: list[tuple[str, str, str]] = []

    async def comes(ghost: str, room_id: str, inviter: str) -> None:
        localpart = bridge.ghosts.localpart(ghost)
        assert localpart is not None
        if ghost == SHY:
            return
        await bridge.ghosts.ensure_bare(localpart)
        await bridge.ghosts.join(localpart, room_id)
        asked.append((localpart, room_id, inviter))

    bridge._office.directs.ghost_invited = comes
    return asked


@asynccontextmanager
async def ghost_room(town: Village) -> AsyncIterator[tuple[AppserviceBridge, Gate, str]]:
    """A room with Ali and a ghost, of which only transactions tell; the box has a route there."""
    first = town.bridge()
    asked = ghost_comes(first)
    async with working(first):
        room_id = await town.ali.create_room(invite=(GHOST,), is_direct=True)
        await until(lambda: asked)
    here = RoutedConversation(name=town.room_id), RoutedConversation(name=room_id)
    bridge = town.bridge(conversations=here)
    ghost_comes(bridge)
    yield bridge, Gate(bridge.app), room_id  # type: ignore[attr-defined]


async def test_inviting_a_ghost_that_never_was_makes_it_and_asks_what_to_do(town: Village):
    bridge = town.bridge()
    asked = ghost_comes(bridge)
    async with working(bridge) as core:
        room_id = await town.ali.create_room(invite=(GHOST,), is_direct=True)
        await until(lambda: asked)
        await town.ali.say(room_id, "are you there?")
        await until(lambda: core.journal)
        facts = bridge.describe()

    assert asked == [("mesh_0badcafe", room_id, town.ali.id)]
    (message,) = core.journal
    assert (words([message]), message.origin.conversation) == (["are you there?"], room_id)
    assert facts["ping"].startswith("ok")
    assert facts["last_transaction"] != "never"


@pytest.mark.parametrize(
    ("ghost", "level", "why"),
    [
        ("mesh_0badcaff", Level.READ, "may not write to radios"),
        ("lan_nobody", Level.TRANSMIT, "Only a radio's node"),
        ("mesh_0badcaf0", Level.TRANSMIT, "is not known here"),
    ],
)
async def test_a_ghost_that_declines_is_no_more_than_registered(town: Village, ghost: str, level: Level, why: str):
    bridge = town.bridge(level_of=lambda _: level)
    user_id = f"@{ghost}:gw.test"
    async with working(bridge):
        room_id = await town.ali.create_room(invite=(user_id,), is_direct=True)
        await until(lambda: "matrix_direct_declined" in town.counts)
        left = {}
        while left.get("membership") != "leave":
            left = (await town.ali.client.room_get_state_event(room_id, "m.room.member", user_id)).content
        profile = await town.ali.client.get_profile(user_id)
    assert why in left["reason"]
    assert (profile.displayname, profile.avatar_url) == (ghost, None)
    assert len(bridge.ghosts) == 0


async def test_what_was_behind_a_transaction_in_flight_when_the_homeserver_died_is_heard_once_in_order(town: Village):
    bridge = town.bridge()
    gate = Gate(bridge.app)
    async with working(bridge, gate) as core:
        await town.ali.say(town.room_id, "h0")
        await until(lambda: core.journal)
        gate.opened.clear()
        number = len(gate.ids)
        await town.ali.say(town.room_id, "h1")
        await until(lambda: len(gate.ids) > number)  # in flight: what follows waits in the homeserver's memory
        for body in ("h2", "h3"):
            await town.ali.say(town.room_id, body)
        await town.server.kill()
        core.is_up.clear()
        await town.server.start()
        gate.opened.set()
        await core.is_up.wait()
        await town.ali.say(town.room_id, "h4")
        await until(lambda: words(core.journal)[-1:] == ["h4"])

    assert words(core.journal) == ["h0", "h1", "h2", "h3", "h4"]


async def test_transaction_ids_that_begin_again_at_one_hide_nothing(town: Village):
    async with ghost_room(town) as (bridge, gate, room_id), working(bridge, gate) as core:
        for body in ("one", "two"):
            await town.ali.say(room_id, body)
            await until(lambda body=body: words(core.journal)[-1:] == [body])
        before, number = set(gate.ids), len(gate.ids)
        await town.server.stop()
        core.is_up.clear()
        await town.server.start()
        await core.is_up.wait()
        while not before & set(gate.ids[number:]):  # until an id came again
            last = f"again {len(gate.ids)}"
            await town.ali.say(room_id, last)
            await until(lambda last=last: words(core.journal)[-1] == last)
        said = [event["content"]["body"] for event in await town.ali.events(room_id) if "body" in event["content"]]

    assert words(core.journal) == said


async def test_what_the_homeserver_kept_to_itself_as_its_recovery_ended_is_heard_before_the_next_word(town: Village):
    async with ghost_room(town) as (bridge, gate, room_id), working(bridge, gate) as core:
        await town.ali.say(room_id, "before")
        await until(lambda: core.journal)
        await until(lambda: gate.probed and thinks_us_up(town))  # all that follows a connection is over
        # What happens where a transaction is made between the recovery's last look and its last word:
        think(town, "down")
        await town.ali.say(room_id, "kept")
        await until(lambda: kept(town) == 1)
        think(town, "up")
        await town.ali.say(room_id, "next")
        await until(lambda: words(core.journal)[-1:] == ["next"])

    assert words(core.yielded) == ["before", "kept", "next"]
    assert town.counts.count("matrix_transaction_gap") == 1


async def test_what_the_homeserver_kept_to_itself_after_a_connection_needs_no_next_word(town: Village):
    async with ghost_room(town) as (bridge, gate, room_id), working(bridge, gate) as core:
        await town.ali.say(room_id, "before")
        await until(lambda: core.journal and thinks_us_up(town))
        think(town, "down")
        await town.ali.say(room_id, "kept")
        await until(lambda: kept(town) == 1)
        think(town, "up")
        await until(lambda: words(core.journal)[-1:] == ["kept"])


async def test_an_invitation_that_came_as_a_recovery_ended_is_answered_by_a_box_that_is_in_no_room(town: Village):
    bridge = town.bridge(conversations=())
    asked = ghost_comes(bridge)
    gate = Gate(bridge.app)  # type: ignore[attr-defined]
    gate.holds_repeats = True
    async with working(bridge, gate):
        await town.ali.create_room(invite=(SHY,))  # refused, as the first; and it comes again
        await until(lambda: not gate.opened.is_set())
        room_id = await town.ali.create_room(invite=(GHOST,), is_direct=True)
        (invitation,) = [e["event_id"] for e in await town.ali.events(room_id) if e.get("state_key") == GHOST]
        await until(lambda: comes_as_the_recovery_ends(town, invitation))
        gate.opened.set()
        await until(lambda: ("mesh_0badcafe", room_id, town.ali.id) in asked)


def comes_as_the_recovery_ends(town: Village, event_id: str) -> bool:
    """Let a recovery that goes on not see a transaction that waits: as if it were made after its last look.

    Return whether there is one with this event.
    """
    with closing(_database(town)) as database, database:
        hidden = database.execute(
            "UPDATE application_services_txns SET as_id = 'later' WHERE event_ids LIKE ?", (f"%{event_id}%",)
        )
        database.execute(
            "CREATE TRIGGER IF NOT EXISTS later AFTER UPDATE ON application_services_state WHEN NEW.state = 'up' BEGIN"
            " UPDATE application_services_txns SET as_id = NEW.as_id WHERE as_id = 'later'; END"
        )
        return hidden.rowcount == 1


def thinks_us_down(town: Village) -> bool:
    return _state(town) == "down"


def thinks_us_up(town: Village) -> bool:
    return _state(town) == "up" and kept(town) == 0


def _state(town: Village) -> str:
    with closing(_database(town)) as database:
        (state,) = database.execute("SELECT state FROM application_services_state").fetchone() or ("up",)
    return str(state or "up")


def think(town: Village, state: str) -> None:
    with closing(_database(town)) as database, database:
        database.execute("UPDATE application_services_state SET state = ?", (state,))


def kept(town: Village) -> int:
    with closing(_database(town)) as database:
        (count,) = database.execute("SELECT count(*) FROM application_services_txns").fetchone()
    return int(count)


def _database(town: Village) -> sqlite3.Connection:
    return sqlite3.connect(town.server.folder / "homeserver.db")


@pytest.mark.parametrize("knows", [True, False], ids=["and knew it", "before it knew"])
async def test_a_homeserver_that_was_killed_while_we_were_away_is_woken(town: Village, knows: bool):
    async with ghost_room(town) as (bridge, gate, room_id):
        async with serving(bridge, gate):
            gate.opened.clear()
            number = len(gate.ids)
            await town.ali.say(room_id, "while you were away")
            await until(lambda: len(gate.ids) > number)
            if knows:
                gate.opened.set()  # not connected, it refuses
                await until(lambda: thinks_us_down(town))
            await town.server.kill()
        await town.server.start()
        # It begins to think of us with the next event that concerns us, and nobody makes one but we.
        async with working(bridge, gate) as core:
            await until(lambda: core.journal)
    assert words(core.journal) == ["while you were away"]


async def test_what_was_stored_and_answered_with_an_error_comes_again_as_the_same(town: Village):
    async with ghost_room(town) as (bridge, gate, room_id), working(bridge, gate) as core:
        await town.ali.say(room_id, "before")  # behind the first transaction, which we refuse
        await until(lambda: core.journal)
        gate.spoils = b"once"
        await town.ali.say(room_id, "once")
        await until(lambda: len(core.yielded) == 3)
        await town.ali.say(room_id, "then")
        await until(lambda: len(core.journal) == 3)

    assert words(core.yielded) == ["before", "once", "once", "then"]
    assert words(core.journal) == ["before", "once", "then"]


async def test_while_nothing_can_be_stored_the_homeserver_keeps_what_is_said(town: Village):
    async with ghost_room(town) as (bridge, gate, room_id):
        async with serving(bridge, gate):  # listening, and not connected
            number = len(gate.ids)
            await town.ali.say(room_id, "keep this")
            await until(lambda: len(gate.ids) > number)
        async with working(bridge, gate) as core:
            await until(lambda: core.journal)
    assert words(core.journal) == ["keep this"]


async def test_what_a_ghost_said_and_repeats_after_the_homeserver_was_killed_shows_once(town: Village):
    bridge = town.bridge()
    async with working(bridge) as core:
        message = node_says("just once")
        first = await bridge.send(message, town.there, key="kill.0")
        await town.server.kill()
        core.is_up.clear()
        await town.server.start()
        await core.is_up.wait()
        again = await bridge.send(message, town.there, key="kill.0")
    shown = [event["content"]["body"] for event in await town.shown()]

    assert first == again
    assert shown == ["just once"]
