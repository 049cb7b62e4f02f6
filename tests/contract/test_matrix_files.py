# SPDX-License-Identifier: GPL-3.0-or-later
"""Files from rooms of a real homeserver, fetched through their links by a plain HTTP client; places both ways."""

from __future__ import annotations

import asyncio
import io
import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn

from bridges.matrix import kind
from bridges.matrix.bridge import MatrixBridge
from bridges.matrix.client import Client
from bridges.matrix.files import serving
from bridges.matrix.files.attached import Attached
from bridges.matrix.files.fetching import fetched
from bridges.sim.loopback import LOOPBACK, free_port
from gateway.model import Address, Bridge, Listener, Location, Message, Redaction, Text
from gateway.servers import Server
from tests.contract.test_matrix_bridge import HOME, Box, radio_says, take
from tests.services import Town

PATIENCE_S = 40
PNG = b"\x89PNG\r\n\x1a\n" + secrets.token_bytes(150_000)


class Hilltop:
    """A box whose bridge listens, and somebody with a browser on its LAN."""

    def __init__(self, town: Town, folder: Path, **files: Any) -> None:
        self.town = town
        self.url = f"http://{LOOPBACK}:{free_port()}"
        listen = self.url.removeprefix("http://")
        self.box = Box(town, folder, listen=listen, files={"url": self.url, **files})
        self.bridge = self.box.bridge()

    async def upload(self, data: bytes, mimetype: str, *, encrypt: bool = False) -> dict[str, Any]:
        """Store it as Ali's client does; return the content of the event that brings it."""
        answer, keys = await self.town.ali.client.upload(
            lambda *_: io.BytesIO(data), content_type=mimetype, encrypt=encrypt, filesize=len(data)
        )
        where = {"file": {**keys, "url": answer.content_uri}} if encrypt else {"url": answer.content_uri}
        return {"msgtype": "m.image", "info": {"mimetype": mimetype, "size": len(data)}, **where}

    async def shared(self, items: Any, content: dict[str, Any], body: str = "cat.png") -> tuple[str, Text]:
        """Have Ali send it; return its event and what the bridge made of it."""
        event_id = await self.town.ali.say(self.town.room_id, body, **content)
        (message,) = await take(items, 1)
        assert isinstance(message.content, Text)
        return event_id, message.content


@asynccontextmanager
async def opened(hilltop: Hilltop) -> AsyncIterator[tuple[Any, aiohttp.ClientSession]]:
    bridge: Bridge = hilltop.bridge
    assert isinstance(bridge, Listener)
    host, _, port = bridge.listen.rpartition(":")
    config = uvicorn.Config(bridge.app, host=host, port=int(port), log_config=None, lifespan="off")
    server = Server(config)
    running = asyncio.create_task(server.serve())
    try:
        async with (
            asyncio.timeout(PATIENCE_S),
            bridge,
            aclosing(bridge.receive()) as items,
            aiohttp.ClientSession() as browser,
        ):
            yield items, browser
    finally:
        server.should_exit = True
        await running


async def test_a_picture_is_fetched_through_its_link_with_its_kind_and_nothing_it_may_do(
    town: Town, tmp_path: Path
) -> None:
    hilltop = Hilltop(town, tmp_path / "state")
    async with opened(hilltop) as (items, browser):
        _, said = await hilltop.shared(items, await hilltop.upload(PNG, "image/png"))
        # As somebody types it who read it off a small screen.
        async with browser.get(said.link.upper().replace("HTTP", "http").replace("/F/", "/f/")) as answer:
            body, headers = await answer.read(), answer.headers

    assert said.body == "[image 150 kB] cat.png"
    assert len(said.link.removeprefix(hilltop.url)) == len("/f/") + 12
    assert (answer.status, body) == (200, PNG)
    assert headers["Content-Type"] == "image/png"
    assert headers["Content-Disposition"].startswith("inline; ")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert headers["Cache-Control"] == "no-store"
    assert hilltop.box.counts.count("matrix_file_served") == 1
    assert [each.name for each in (tmp_path / "state").glob("tmp*")] == []


async def test_an_encrypted_file_is_decrypted_and_one_that_was_altered_is_not_told(town: Town, tmp_path: Path) -> None:
    hilltop = Hilltop(town, tmp_path / "state")
    async with opened(hilltop) as (items, browser):
        content = await hilltop.upload(PNG, "image/png", encrypt=True)
        _, said = await hilltop.shared(items, content)
        async with browser.get(said.link) as answer:
            body = await answer.read()
        other = await hilltop.upload(b"something else", "application/octet-stream")
        altered = content | {"file": content["file"] | {"url": other["url"]}}
        _, forged = await hilltop.shared(items, altered)
        async with browser.get(forged.link) as refused:
            words = await refused.text()

    assert body == PNG
    assert (refused.status, words) == (502, "This file was altered on its way.\n")


@pytest.mark.parametrize("mimetype", ["text/html", "image/svg+xml", "application/pdf"])
async def test_what_could_hold_a_script_may_only_be_saved(town: Town, tmp_path: Path, mimetype: str) -> None:
    hilltop = Hilltop(town, tmp_path / "state")
    async with opened(hilltop) as (items, browser):
        _, said = await hilltop.shared(items, await hilltop.upload(b"<script>alert(1)</script>", mimetype))
        async with browser.get(said.link) as answer:
            headers = answer.headers

    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"].startswith("attachment; ")


async def test_a_link_of_nobody_of_yesterday_or_of_what_was_taken_back_is_none(town: Town, tmp_path: Path) -> None:
    hilltop = Hilltop(town, tmp_path / "state", keep="1s")
    async with opened(hilltop) as (items, browser):
        content = await hilltop.upload(PNG, "image/png")
        _, old = await hilltop.shared(items, content)
        async with asyncio.timeout(10):
            while (gone := await browser.get(old.link)).status == 200:
                await asyncio.sleep(0.1)
        nobodys = await browser.get(f"{hilltop.url}/f/000000000000")
        elsewhere = await browser.get(f"{hilltop.url}/docs")
        posted = await browser.post(old.link)
        words = await gone.text()

    assert words == (await _words(nobodys)) == "There is no such file here, or no longer.\n"
    assert (gone.status, nobodys.status, elsewhere.status, posted.status) == (404, 404, 404, 405)


async def _words(answer: aiohttp.ClientResponse) -> str:
    return await answer.text()


async def test_a_file_that_is_taken_back_has_no_link_any_more(town: Town, tmp_path: Path) -> None:
    hilltop = Hilltop(town, tmp_path / "state")
    async with opened(hilltop) as (items, browser):
        event_id, said = await hilltop.shared(items, await hilltop.upload(PNG, "image/png"))
        await town.ali.client.room_redact(town.room_id, event_id)
        (back,) = await take(items, 1)
        async with browser.get(said.link) as answer:
            status = answer.status

    assert isinstance(back.content, Redaction)
    assert status == 404


async def test_a_file_larger_than_allowed_has_no_link_and_one_that_lied_is_not_brought(
    town: Town, tmp_path: Path
) -> None:
    hilltop = Hilltop(town, tmp_path / "state", max_size="100kB")
    async with opened(hilltop) as (items, browser):
        content = await hilltop.upload(PNG, "image/png")
        _, honest = await hilltop.shared(items, content)
        _, liar = await hilltop.shared(items, content | {"info": {"size": 1}})
        async with browser.get(liar.link) as answer:
            status, words = answer.status, await answer.text()

    assert honest == Text(body="[image 150 kB] cat.png")
    assert (status, words) == (413, "This file is too large to be passed on.\n")


async def test_while_the_homeserver_is_away_or_lacks_the_file_a_link_says_so(town: Town, tmp_path: Path) -> None:
    hilltop = Hilltop(town, tmp_path / "state")
    async with opened(hilltop) as (items, browser):
        content = await hilltop.upload(PNG, "image/png")
        _, said = await hilltop.shared(items, content)
        _, lost = await hilltop.shared(items, content | {"url": f"mxc://{town.server.server_name}/nothing"})
        async with browser.get(lost.link) as answer:
            lacking = answer.status
        await hilltop.bridge.__aexit__(None, None, None)
        async with browser.get(said.link) as answer:
            away, words, after = answer.status, await answer.text(), answer.headers["Retry-After"]

    assert lacking == 404
    assert (away, after) == (503, "10")
    assert words == "The homeserver can't be reached right now. Try again later.\n"


async def test_a_disk_that_is_nearly_full_is_left_to_the_journal(tmp_path: Path) -> None:
    client, file = Client("http://gw.test", "@bot:gw.test"), Attached(event_id="$1", server="gw.test", media_id="x")
    with pytest.raises(OSError, match="too full"):
        async with fetched(client, file, folder=tmp_path, max_bytes=2**60):
            pytest.fail("it was fetched")


async def test_more_files_at_once_than_there_is_room_for_are_asked_to_wait(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "AT_ONCE", 0)
    hilltop = Hilltop(town, tmp_path / "state")
    async with opened(hilltop) as (_, browser), browser.get(f"{hilltop.url}/f/000000000000") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "10")


async def test_without_links_a_file_is_words_and_the_bridge_listens_nowhere(town: Town, tmp_path: Path) -> None:
    box = Box(town, tmp_path / "state")
    bridge = box.bridge()
    assert not isinstance(bridge, Listener)
    assert type(bridge) is MatrixBridge
    async with asyncio.timeout(PATIENCE_S), bridge, aclosing(bridge.receive()) as items:
        await town.ali.say(town.room_id, "cat.png", msgtype="m.image", url="mxc://gw.test/x")
        (message,) = await take(items, 1)
    assert message.content == Text(body="[image] cat.png")
    assert not (tmp_path / "state" / "files.db").exists()


async def test_the_token_is_in_no_address_and_is_not_sent_on_to_where_a_homeserver_points() -> None:
    asked: list[str] = []

    def server(answer: bytes) -> Any:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(answer)
            await writer.drain()
            writer.close()

        return asyncio.start_server(serve, LOOPBACK, 0)

    async with await server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi") as store:
        there = f"http://{LOOPBACK}:{store.sockets[0].getsockname()[1]}/signed"
        moved = f"HTTP/1.1 307 Moved\r\nLocation: {there}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        async with await server(moved.encode()) as homeserver:
            client = Client(f"http://{LOOPBACK}:{homeserver.sockets[0].getsockname()[1]}", "@bot:gw.test")
            client.token = "syt_secret"
            await client.connect()
            async with client.fetch("media", "download", "gw.test", "AbC") as answer:
                body = await answer.read()
            await client.close()

    first, second = asked
    assert body == b"hi"
    assert first.startswith("GET /_matrix/client/v1/media/download/gw.test/AbC HTTP/1.1")
    assert "Authorization: Bearer syt_secret" in first
    assert "syt_secret" not in second


async def test_a_place_crosses_both_ways(town: Town, tmp_path: Path) -> None:
    bridge = kind.create(replace(Box(town, tmp_path / "state").context))
    camp = Location(latitude=46.51234, longitude=8.1, accuracy_m=35, words="Base camp")
    async with asyncio.timeout(PATIENCE_S), bridge, aclosing(bridge.receive()) as items:
        await town.ali.say(town.room_id, "Base camp", msgtype="m.location", geo_uri="geo:46.51234,8.1;u=35")
        message = await anext(items)
        await bridge.send(radio_says("", content=camp, name="Ridge relay"), Address(HOME, town.alias), key="k.0")
        (heard,) = await town.ali.heard(town.room_id)

    assert isinstance(message, Message)
    assert message.content == camp
    assert heard["content"]["geo_uri"] == "geo:46.51234,8.1;u=35"
    assert heard["content"]["body"] == "Ridge relay: Base camp: geo:46.51234,8.1;u=35"
