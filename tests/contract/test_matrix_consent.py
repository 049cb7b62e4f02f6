# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypted rooms that are bridged because people in them agreed: ``allow_encrypted = "ask"``, in both modes."""

from __future__ import annotations

import io
import json
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from nio.crypto import encrypt_attachment

from bridges.matrix import kind
from bridges.matrix.bridge import MatrixBridge
from bridges.matrix.management.consents import Consents
from bridges.sim.loopback import LOOPBACK
from gateway.model import Address, BridgeContext, Joined, Level, NotThere, Redaction, RemoteId, SenderId, Text
from tests.appservice import Registered, registered, serving
from tests.contract.encrypted_rooms import ShiftedClock, account, bodies, logging_to, pumping, radio_says, until
from tests.contract.front_desk import HOME, LONG_FAST, FrontDesk
from tests.peers.js_peer import JsPeer, Sight, js_peer

MODES = ("bot", "appservice")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Registered]:
    async with registered(tmp_path_factory.mktemp("consent")) as made:
        yield made


@dataclass(kw_only=True)
class Council:
    """Ali's encrypted room, the gateway invited into it, and a box that asks before it carries anything."""

    home: Registered
    ali: JsPeer
    room_id: str
    desk: FrontDesk
    context: BridgeContext
    clock: ShiftedClock
    counts: list[str]
    tokens: list[str]

    @property
    def to(self) -> Address:
        return Address(HOME, self.room_id)

    @property
    def gateway(self) -> str:
        return str(self.context.table["user_id"])

    def bridge(self, **changes: Any) -> MatrixBridge:
        made = kind.create(replace(self.context, **changes))
        assert isinstance(made, MatrixBridge)
        self.desk.bridge = made
        self.desk.tell()
        return made

    async def is_joined(self) -> None:
        """Wait until the gateway is in the room: what was said before isn't for it."""

        def joins(sight: Sight) -> bool:
            return (sight.state_key, sight.content.get("membership")) == (self.gateway, "join")

        await self.ali.wait_for(joins)

    async def ask(self, words: str) -> Sight:
        return await self.answer_to(await self.ali.say(self.room_id, words))

    async def answer_to(self, event_id: str) -> Sight:
        def answers(sight: Sight) -> bool:
            relation = sight.wire_content.get("m.relates_to", {})
            is_answer = relation.get("m.in_reply_to", {}).get("event_id") == event_id
            return is_answer and bool(sight.body) and sight.shield in ("none", "unencrypted")

        return await self.ali.wait_for(answers)

    async def agree(self) -> list[Sight]:
        """Ask for the bridge and confirm it twice; return all three answers."""
        return [await self.ask(f"!mesh {words}") for words in ("bridge LongFast", "confirm", "confirm")]


@asynccontextmanager
async def council(
    home: Registered, folder: Path, mode: str = "bot", *, encrypted: bool = True, **table: Any
) -> AsyncIterator[Council]:
    folder.mkdir(parents=True)
    tokens = [home.tokens["as_token"], home.tokens["hs_token"]]
    if mode == "bot":
        bot = await account(home.server, "gateway")
        (folder / "token").write_text(bot.access_token)
        user_id, login = bot.user_id, {"access_token_file": str(folder / "token")}
        tokens.append(bot.access_token)
    else:
        user_id = f"@crossband-{secrets.token_hex(3)}:{home.server.server_name}"
        login = {"mode": "appservice", "registration_file": str(home.file), "listen": f"{LOOPBACK}:{home.port}"}
    async with js_peer(home.server.url, await account(home.server, "ali")) as ali:
        room_id = await ali.create_room(invite=(user_id,), encrypted=encrypted)
        desk = FrontDesk(levels={ali.user_id: Level.COMMANDS}, answers={"status": "all is well"})
        counts: list[str] = []
        clock = ShiftedClock()
        table = {
            "kind": "matrix",
            "homeserver": home.server.url,
            "user_id": user_id,
            "allow_encrypted": "ask",
            **login,
            **table,
        }
        kind.check(table)
        context = BridgeContext(
            name=HOME,
            table=table,
            state_dir=folder,
            clock=clock,
            random=random.Random(1),
            level_of=desk.level_of,
            count=counts.append,
            desk=desk,
        )
        yield Council(
            home=home,
            ali=ali,
            room_id=room_id,
            desk=desk,
            context=context,
            clock=clock,
            counts=counts,
            tokens=tokens,
        )


@pytest.mark.parametrize("mode", MODES)
async def test_an_encrypted_room_is_carried_once_somebody_there_agreed_twice(
    home: Registered, tmp_path: Path, mode: str
) -> None:
    stream = io.StringIO()
    with logging_to(stream):
        async with council(home, tmp_path / "box", mode) as room:
            bridge = room.bridge()
            async with pumping(bridge) as got:
                await room.is_joined()
                await room.ali.say(room.room_id, "between us")
                asked, again, done = await room.agree()
                await room.ali.say(room.room_id, "for everybody")
                await until(lambda: got)
                receipt = await bridge.send(radio_says("from afar"), room.to, key="k.0")
                seen = await room.ali.wait_for_body("from afar")
                facts = bridge.describe()
                signed = await room.ali.device_is_signed(room.gateway, facts["encrypted"].split()[3].rstrip(","))
                senders = {sight.sender for sight in room.ali.seen.values()}
    assert "You are asked twice" in asked.body
    assert "broadcast by radio in clear" in again.body
    assert "Bridged to radio/LongFast" in done.body
    assert {sight.wire_type for sight in (asked, again, done, seen)} == {"m.room.encrypted"}
    assert {sight.shield for sight in (asked, again, done, seen)} == {"none"}
    assert bodies(got) == ["for everybody"]
    assert room.counts.count("matrix_skipped_closed") == 1
    assert (seen.event_id, seen.body, seen.sender) == (receipt.remote_id, "Bea: from afar", room.gateway)
    assert "cross-signed; no ghosts there" in facts["encrypted"]
    assert signed
    assert senders == {room.ali.user_id, room.gateway}
    seeds = json.loads((tmp_path / "box/crypto/signing.json").read_text()).values()
    lock = (tmp_path / "box/crypto/pickle.key").read_text().strip()
    for secret in (*room.tokens, *seeds, lock, "between us", "for everybody", "from afar", "bridge LongFast"):
        assert secret not in stream.getvalue()


async def test_what_was_said_before_they_agreed_and_commands_that_came_late_are_not_carried_out(
    home: Registered, tmp_path: Path
) -> None:
    async with council(home, tmp_path / "box") as room:
        async with pumping(room.bridge()) as got:
            await room.is_joined()
            assert (await room.ask("!mesh status")).body == "all is well"
            await room.ali.do("forget_key", room_id=room.room_id)
            await room.ali.hold_keys()
            await room.ali.say(room.room_id, "an old secret")
            late = await room.ali.say(room.room_id, "!mesh status")
            await until(lambda: room.counts.count("matrix_parked") == 2)

        Consents(tmp_path / "box/consents.json").give(room.room_id, room.ali.user_id)
        await room.desk.join(room.to, LONG_FAST, by=SenderId(room.ali.user_id))
        room.clock.ahead_s += 301
        async with pumping(room.bridge()) as got:
            await room.ali.give_keys()
            answer = await room.answer_to(late)
            await room.ali.say(room.room_id, "for everybody")
            await until(lambda: got)

    assert "It could be read only now" in answer.body
    assert len(room.desk.asked) == 1
    assert bodies(got) == ["for everybody"]
    assert room.counts.count("matrix_skipped_closed") == 1


async def test_a_crash_while_or_after_they_agree_reads_nothing_of_what_was_said_before(
    home: Registered, tmp_path: Path
) -> None:
    file = tmp_path / "box/since.json"
    async with council(home, tmp_path / "box") as room:
        kept: list[bytes] = []
        join = room.desk.join

        async def joining(here: Address, there: Address, *, by: SenderId) -> Joined:
            kept.append(file.read_bytes())
            return await join(here, there, by=by)

        room.desk.join = joining  # type: ignore[method-assign,assignment]
        async with pumping(room.bridge()):
            await room.is_joined()
            await room.ask("!mesh bridge LongFast")
            await room.ask("!mesh confirm")
            await room.ali.say(room.room_id, "between us")
            await until(lambda: "matrix_skipped_closed" in room.counts)
            await room.ask("!mesh confirm")
            await room.ask("!mesh status")
            kept.append(file.read_bytes())
        for since in kept:
            file.write_bytes(since)  # as after a crash then
            async with pumping(room.bridge()) as got:
                await room.ali.say(room.room_id, "for everybody")
                await until(lambda: got)
            assert "between us" not in bodies(got)


async def test_a_bridged_room_that_becomes_encrypted_is_carried_on_once_they_agreed_to_that(
    home: Registered, tmp_path: Path
) -> None:
    async with council(home, tmp_path / "box", encrypted=False) as room:
        bridge = room.bridge()
        async with pumping(bridge) as got:
            await room.is_joined()
            for words in ("bridge LongFast", "confirm"):
                await room.ask(f"!mesh {words}")
            await room.ali.state(room.room_id, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
            await room.ali.say(room.room_id, "between us")
            await until(lambda: "matrix_skipped_closed" in room.counts)
            assert "!mesh bridge" in bridge.describe()[room.room_id]
            _, _, done = await room.agree()
            await room.ali.say(room.room_id, "for everybody")
            await until(lambda: got)
    assert "carried on" in done.body
    assert bodies(got) == ["for everybody"]
    assert len(room.desk.routes) == 1


async def test_people_agree_to_a_route_of_the_file_and_take_that_back(home: Registered, tmp_path: Path) -> None:
    async with council(home, tmp_path / "box") as room:
        room.desk.filed = (Joined(route="town", ends=(room.to, LONG_FAST)),)
        async with pumping(room.bridge()) as got:
            await room.is_joined()
            await room.agree()
            await room.ali.say(room.room_id, "for everybody")
            await until(lambda: got)
            answer = await room.ask("!mesh unbridge")
            await room.ali.say(room.room_id, "between us")
            await until(lambda: "matrix_skipped_closed" in room.counts)
    assert answer.body.startswith("Nothing that is said here is carried any more")
    assert bodies(got) == ["for everybody"]
    assert room.desk.routes == []


@pytest.mark.parametrize("mode", MODES)
async def test_a_file_of_an_encrypted_room_is_fetched_on_the_lan_until_it_is_taken_back(
    home: Registered, tmp_path: Path, mode: str
) -> None:
    png = b"\x89PNG\r\n\x1a\n" + secrets.token_bytes(100_000)
    stored, keys = encrypt_attachment(png)
    at, stream = f"{LOOPBACK}:{home.port}", io.StringIO()
    with logging_to(stream):
        async with council(home, tmp_path / "box", mode, files={"url": f"http://{at}"}, listen=at) as room:
            bridge = room.bridge()
            async with serving(bridge), pumping(bridge) as got, aiohttp.ClientSession() as browser:
                await room.is_joined()
                await room.agree()
                uri = await room.ali.upload(stored, mimetype="application/octet-stream", name="x")
                file = {**keys, "url": uri, "v": "v2"}
                info = {"mimetype": "image/png", "size": len(png)}
                sent = await room.ali.say(room.room_id, "cat.png", msgtype="m.image", file=file, info=info)
                await until(lambda: got)
                (said,) = [message.content for message in got if isinstance(message.content, Text)]
                async with browser.get(said.link) as answer:
                    fetched, shown = await answer.read(), answer.headers["Content-Type"]
                await room.ali.redact(room.room_id, sent)
                await until(lambda: len(got) == 2)
                async with browser.get(said.link) as gone:
                    assert gone.status == 404
    assert said.body == "[image 100 kB] cat.png"
    assert (fetched, shown) == (png, "image/png")
    assert got[1].content == Redaction(target=RemoteId(sent))
    for secret in (said.link.rpartition("/")[2], keys["key"]["k"], "cat.png"):
        assert secret not in stream.getvalue()


async def test_a_direct_chat_with_the_gateway_may_be_encrypted(home: Registered, tmp_path: Path) -> None:
    async with council(home, tmp_path / "box", "appservice") as room, pumping(room.bridge()) as got:
        await room.is_joined()
        room.room_id = await room.ali.create_room(invite=(room.gateway,), direct=True)
        await room.ali.wait_for_body("`help` tells which there are.")
        answer = await room.ask("status")
    assert (answer.body, answer.shield, room.desk.asked[-1].private) == ("all is well", "none", True)
    assert got == []


async def test_a_second_box_of_one_user_has_a_device_of_its_own(home: Registered, tmp_path: Path) -> None:
    async with council(home, tmp_path / "box", "appservice", allow_encrypted=True) as room:
        room.desk.filed = (Joined(route="town", ends=(room.to, LONG_FAST)),)
        first = room.bridge()
        async with pumping(first):
            await room.is_joined()
            await first.send(radio_says("from the first"), room.to, key="k1.0")
            assert (await room.ali.wait_for_body("from the first")).shield == "none"
            assert first.describe()["ghosts_stay_out"] == f"{room.room_id}: the room is encrypted"

        second = room.bridge(state_dir=tmp_path / "second")
        async with pumping(second):
            with pytest.raises(NotThere, match="give this box a login of its own, by another device_id in its table"):
                await second.send(radio_says("unsaid"), room.to, key="k2.0")

        seeds = (tmp_path / "box/crypto/signing.json").read_bytes()
        (tmp_path / "second/crypto/signing.json").write_bytes(seeds)
        second = room.bridge(state_dir=tmp_path / "second", table={**room.context.table, "device_id": "SECOND"})
        async with pumping(second) as got:
            await second.send(radio_says("from the second"), room.to, key="k3.0")
            assert (await room.ali.wait_for_body("from the second")).shield == "none"
            assert "device SECOND, cross-signed" in second.describe()["encrypted"]
            await room.ali.say(room.room_id, "welcome")
            await until(lambda: bodies(got) == ["welcome"])
