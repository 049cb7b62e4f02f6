# SPDX-License-Identifier: GPL-3.0-or-later
"""The LAN bridge among other boxes: what one says is the other's to know, by the calls the core makes."""

from __future__ import annotations

import asyncio
import random
import secrets
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest

from bridges.lan.bridge import LanBridge
from bridges.lan.hall import Refusal
from bridges.lan.making import make
from bridges.lan.meshed import MeshBridge
from bridges.lan.paged import Paged, PagedMeshBridge
from bridges.lan.pairing import new_code
from bridges.lan.presence import MOST_SERVED
from bridges.sim.loopback import free_port
from gateway.clock import SystemClock
from gateway.model import (
    Address,
    Adjustable,
    BridgeContext,
    Chorus,
    Declined,
    LinkDown,
    Listen,
    Listener,
    Message,
    NativeId,
    RoutedConversation,
    Said,
    Speak,
    Utterance,
)
from tests.contract.lan_box import LAN, TOWN, from_radio, join, said, texts
from tests.lan_boxes import until

WHERE = "mt:EU_868/LongFast/LongFast/8f2c"
RIDGE = Utterance(native_id=NativeId("mt:a1b2c301:17"), where=WHERE)
AS = NativeId("mt:a1b2c300:99")


class Box:
    """A box's folder, and the bridge of its table."""

    def __init__(self, folder: Path, name: str, **table: object) -> None:
        folder.mkdir(mode=0o700)
        self.counts: Counter[str] = Counter()
        self.context = BridgeContext(
            name=LAN,
            table={"kind": "lan", "discover": False, **table},
            state_dir=folder,
            clock=SystemClock(),
            random=random.Random(),
            conversations=(RoutedConversation(name="town"), RoutedConversation(name="warnings")),
            count=lambda what: self.counts.update([what]),
            box=name,
        )

    def bridge(self) -> LanBridge:
        return make(self.context)

    def meshed(self) -> MeshBridge:
        bridge = self.bridge()
        assert isinstance(bridge, MeshBridge)
        return bridge


@pytest.fixture
def a(tmp_path: Path) -> Box:
    return Box(tmp_path / "a", "harbour", sync="127.0.0.1:0")


@pytest.fixture
def b(tmp_path: Path) -> Box:
    return Box(tmp_path / "b", "hilltop", sync="127.0.0.1:0")


@pytest.fixture
async def both(a: Box, b: Box) -> AsyncIterator[tuple[MeshBridge, MeshBridge]]:
    async with a.meshed() as one, b.meshed() as two:
        mine = one.settings()
        code = new_code(mine["box"], mine["addresses"], secrets.token_bytes)
        await one.adjust({f"invite.{code.key.public_key().public_bytes_raw().hex()}": "60"})
        await two.adjust({"join": str(code)})
        assert [row["name"] for row in two.settings()["members"]] == ["harbour", "hilltop"]
        await until(lambda: two.mesh.box in one.mesh.live() and one.mesh.box in two.mesh.live())
        yield one, two


def turn(bridge: MeshBridge, utterance: Utterance = RIDGE, waited_s: float = 0.0) -> Speak | Listen | Said:
    return bridge.turn(utterance, waited_s=waited_s, turn_s=20.0)


def test_a_table_makes_what_it_names_and_nothing_that_listens_unasked(tmp_path: Path) -> None:
    page, sync = {"page": "127.0.0.1:0"}, {"sync": "127.0.0.1:0"}
    made = [Box(tmp_path / str(n), "x", **t).bridge() for n, t in enumerate([{}, page, sync, page | sync])]
    assert [type(one) for one in made] == [LanBridge, Paged, MeshBridge, PagedMeshBridge]
    assert [isinstance(one, Listener) for one in made] == [False, True, False, True]
    assert [isinstance(one, Chorus) for one in made] == [False, False, True, True]
    assert [isinstance(one, Adjustable) for one in made] == [False, False, True, True]


async def test_what_is_about_to_be_said_and_was_said_is_known_at_the_other_box(
    both: tuple[MeshBridge, MeshBridge],
) -> None:
    one, two = both
    one.serve(frozenset({WHERE}))
    two.serve(frozenset({WHERE}))
    await until(lambda: WHERE in two.mesh.live()[one.mesh.box] and WHERE in one.mesh.live()[two.mesh.box])
    assert {type(turn(one)), type(turn(two))} == {Speak, Listen}

    await one.emitting(RIDGE, None)
    await until(lambda: two.is_speaking(WHERE))
    assert isinstance(turn(two), Listen)
    await one.emitted(RIDGE, AS)
    await until(lambda: isinstance(turn(two), Said))
    assert turn(two) == Said(by="harbour", native_id=AS)
    assert (two.echoed(AS), list(two.called(RIDGE.native_id))) == (RIDGE, [AS])
    assert not two.is_speaking(WHERE)


async def test_what_was_said_in_a_conversation_is_said_there_by_no_box_in_however_many_rooms_it_is(
    both: tuple[MeshBridge, MeshBridge],
) -> None:
    one, two = both
    await one.send(from_radio("from the ridge", said_in=WHERE), TOWN, key="k.0")
    await one.send(from_radio("from the ridge", said_in=WHERE), Address(LAN, "warnings"), key="k.1")
    await until(lambda: isinstance(turn(two), Said))
    assert turn(two) == Said(by="harbour", native_id=RIDGE.native_id)


async def test_what_was_said_at_a_box_before_it_joined_is_said_to_the_others_by_a_bridge_that_goes_on(
    a: Box, b: Box
) -> None:
    async with a.meshed() as one, b.meshed() as two:
        alone = await said(two, join(two, "bo"), "nobody there?")
        mine = one.settings()
        code = new_code(mine["box"], mine["addresses"], secrets.token_bytes)
        await one.adjust({f"invite.{code.key.public_key().public_bytes_raw().hex()}": "60"})
        await two.adjust({"join": str(code)})
        together = await said(two, join(two, "bo"), "somebody there!")
        async with asyncio.timeout(30), aclosing(one.receive()) as messages:
            got = [await anext(messages), await anext(messages)]
        assert [message.native_id for message in got if isinstance(message, Message)] == [alone.id, together.id]
        assert await texts(two) == ["nobody there?", "somebody there!"]


async def test_a_box_that_was_put_out_says_so_in_its_status_and_to_people_at_its_page(
    both: tuple[MeshBridge, MeshBridge],
) -> None:
    one, two = both
    assert "warnings" not in two.describe()
    await said(two, join(two, "bo"), "before")
    await until(lambda: one.mesh.state.have == two.mesh.state.have)
    await one.adjust({"remove.hilltop": "yes"})
    # As by a stick: they no longer speak with it.
    await two.mesh.community.believe(await one.mesh.community.statements())
    assert "put out" in two.describe()["warnings"]
    refused = await two.hall.say(join(two, "bo"), "town", "to nobody")
    assert isinstance(refused, Refusal)
    assert "put this one out" in refused.reason
    assert await texts(two) == ["before"]


async def test_who_said_what_is_known_before_anything_is_received_after_a_start(a: Box) -> None:
    async with a.meshed() as bridge:
        await bridge.emitted(RIDGE, AS)
        await bridge.send(from_radio("hello", "mt:a1b2c301:18", said_in=WHERE), TOWN, key="k.0")
    async with a.meshed() as bridge:
        assert bridge.echoed(AS) == RIDGE
        assert isinstance(turn(bridge, Utterance(native_id=NativeId("mt:a1b2c301:18"), where=WHERE)), Said)


async def test_what_is_said_at_one_page_is_received_at_the_other_box_under_its_own_id(
    both: tuple[MeshBridge, MeshBridge],
) -> None:
    one, two = both
    line = await said(one, join(one, "ali"), "hello")
    async with asyncio.timeout(20), aclosing(two.receive()) as messages:
        message = await anext(messages)
    assert isinstance(message, Message)
    assert (message.native_id, message.sender.id) == (line.id, "~ali@harbour")


async def test_a_bridge_that_is_down_lets_its_box_speak_and_says_why_it_notes_nothing(a: Box) -> None:
    bridge = a.meshed()
    bridge.serve(frozenset({WHERE}))
    assert isinstance(turn(bridge), Speak)
    with pytest.raises(LinkDown):
        await bridge.emitting(RIDGE, None)
    with pytest.raises(Declined):
        bridge.settings()
    for _ in range(2):  # what it serves is told again after each start
        async with bridge:
            assert bridge.mesh.live()[bridge.mesh.box] == {WHERE}


async def test_the_longest_room_id_is_told_and_too_many_conversations_are_counted(a: Box) -> None:
    longest = "mx:!" + "x" * 254
    names = frozenset({longest, *(f"mx:!{n}:example.org" for n in range(MOST_SERVED - 1))})
    async with a.meshed() as bridge:
        bridge.serve(names)
        assert bridge.mesh.live()[bridge.mesh.box] == names
        assert not a.counts["lan_serves_too_much"]
        bridge.serve(names | {"mx:!one-more:example.org"})
        assert len(bridge.mesh.live()[bridge.mesh.box]) == MOST_SERVED
    assert a.counts["lan_serves_too_much"] == 1


async def test_two_who_wait_for_what_is_new_both_hear_of_it(a: Box) -> None:
    async with a.meshed() as bridge:
        mesh = bridge.mesh
        after, looked, go_on = await mesh.last_arrival(), asyncio.Event(), asyncio.Event()
        look = mesh.has_news

        async def slowly(after: int) -> bool:
            found = await look(after)
            looked.set()
            await go_on.wait()
            return found

        mesh.has_news = slowly  # type: ignore[method-assign]
        slow = asyncio.create_task(mesh.wait(after))
        await looked.wait()
        mesh.has_news = look  # type: ignore[method-assign]
        await mesh.append("web:x:2", "{}")
        await mesh.wait(after)  # another reader comes between
        go_on.set()
        async with asyncio.timeout(10):
            await slow


async def test_what_a_box_said_before_it_was_put_out_is_still_shown(
    both: tuple[MeshBridge, MeshBridge],
) -> None:
    one, two = both
    await said(two, join(two, "bo"), "kept")
    await until(lambda: one.mesh.state.have == two.mesh.state.have)
    await one.adjust({"remove.hilltop": "yes"})
    await said(one, join(one, "ali"), "after it")
    assert await texts(one) == ["kept", "after it"]
    assert [row["name"] for row in one.settings()["members"]] == ["harbour"]


async def test_the_page_has_the_name_that_mdns_found_for_it_and_the_status_says_so(tmp_path: Path) -> None:
    name, port = f"valley-{secrets.token_hex(4)}", free_port()
    box = Box(tmp_path / "p", name, page=f"127.0.0.1:{port}", discover=True, interfaces=["lo"])
    async with box.bridge() as bridge:
        assert isinstance(bridge, Paged)
        assert bridge.describe()["page by name"] == "being announced"
        await until(lambda: bridge.describe()["page by name"] == f"http://{name}.local:{port}/")
        announced = bridge._announcing
        assert announced is not None
        announced.name, announced.reason = f"{name}-2.local", "another host here is called so"  # as that one says
        async with browser(bridge) as somebody:
            wall = await somebody.get("/qr", headers={"Host": f"{name}-2.local"})
        assert f"http://{name}-2.local:{port}/" in wall.text
        told = f"http://{name}-2.local:{port}/ (another host here is called so)"
        assert bridge.describe()["page by name"] == told


def browser(bridge: Paged) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=bridge.app), base_url="http://localhost")


async def test_the_page_says_so_while_the_bridge_is_down_and_while_nothing_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = Box(tmp_path / "p", "hilltop", page="127.0.0.1:0", hosts=["chat.lan"]).bridge()
    assert isinstance(bridge, Paged)
    async with browser(bridge) as somebody:
        assert (await somebody.get("/")).status_code == 503
        async with bridge:
            assert (await somebody.get("/r/town/lines")).status_code == 200
            assert (await somebody.get("/", headers={"Host": "chat.lan"})).status_code == 200
            assert (await somebody.get("/", headers={"Host": "evil.example.org"})).status_code == 421

            def broken(*_: object, **__: object) -> None:
                raise sqlite3.OperationalError("disk I/O error")

            rooms = bridge._diary.rooms
            monkeypatch.setattr(rooms, "lines", broken)
            answer = await somebody.get("/r/town/lines")
            assert (answer.status_code, "Please try again" in answer.text) == (503, True)
            assert bridge.describe()["page refused"] == "1 with 421, 1 with 503"
        assert (await somebody.get("/")).status_code == 503
