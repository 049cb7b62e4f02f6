# SPDX-License-Identifier: GPL-3.0-or-later
"""What messages hold besides words, through the whole gateway: places both ways, a picture's link on the air."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import aiohttp
import pytest

from bridges.sim.loopback import LOOPBACK, free_port
from bridges.sim.synapse import Synapse
from tests.e2e.world import NEAR, World, build_world
from tests.services import person

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40


@pytest.fixture
async def talkative(synapse: Synapse) -> AsyncIterator[World]:
    listen = f"{LOOPBACK}:{free_port()}"
    home = f'listen = "{listen}"\nfiles = {{ url = "http://{listen}" }}'
    async with build_world(synapse, tables={"home": home, "radio": 'positions = "on"'}) as made:
        yield made


async def test_a_place_from_the_room_is_short_words_on_the_air(world: World) -> None:
    content = {"msgtype": "m.location", "body": "Base camp", "geo_uri": "geo:46.51234,8.1;u=10", "m.mentions": {}}
    await world.person.send("m.room.message", content)

    heard = await world.heard("Baker: geo 46.51234,8.10000 Base camp")

    assert not heard.direct


async def test_where_a_radio_is_shows_as_a_place_in_the_room_and_at_the_api(talkative: World) -> None:
    await talkative.radio.call("position", node=NEAR)

    seen = await talkative.seen("geo:47.04,8.31,438")
    messages = (await talkative.box.ask("GET", "/api/v1/messages")).json()["messages"]

    assert (seen.msgtype, seen.name) == ("m.location", NEAR)
    assert [(one["kind"], one["text"]) for one in messages] == [("location", "geo 47.04000,8.31000")]
    assert messages[0]["location"] == {
        "latitude": pytest.approx(47.04),
        "longitude": pytest.approx(8.31),
        "altitude_m": 438.0,
        "accuracy_m": None,
        "words": "",
    }


async def test_a_picture_is_its_name_on_the_air_with_a_link_that_works_on_the_lan(talkative: World) -> None:
    uri = await _uploaded(talkative, PNG)
    content = {"msgtype": "m.image", "body": "ford.png", "url": uri, "info": {"mimetype": "image/png", "size": 10_248}}
    await talkative.person.send("m.room.message", content)

    heard = await talkative.radio.heard.wait_for(lambda one: "ford.png" in one.text, timeout_s=40)
    words, _, link = heard.text.rpartition(" ")
    async with aiohttp.ClientSession() as browser, browser.get(link) as answer:
        body = await answer.read()

    assert words == "Baker: [image 10 kB] ford.png"
    assert body == PNG


async def _uploaded(world: World, data: bytes) -> str:
    client = (await person(world.synapse, "painter")).client
    answer, _ = await client.upload(lambda *_: io.BytesIO(data), content_type="image/png", filesize=len(data))
    await client.close()
    return str(answer.content_uri)
