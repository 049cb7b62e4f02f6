# SPDX-License-Identifier: GPL-3.0-or-later
"""What waited while the radio was away: told in short where it is stale, as its senders left it, in order."""

from __future__ import annotations

import asyncio
import json
import sys

from tests.e2e.test_outages import bridge, journalled, say_in_room
from tests.e2e.world import World

STALE_S = 12
"""More than a radio that was plugged in takes to be spoken to."""


async def fold_after(world: World, seconds: int) -> None:
    """Start the gateway anew with a `digest_after` for the radio."""
    await world.box.stop()
    text = world.box.config.read_text(encoding="utf-8")
    join = next(line for line in text.splitlines() if line.startswith("join = "))
    world.box.config.write_text(text.replace(join, f'{join}\ndigest_after = {{ radio = "{seconds}s" }}'))
    await world.box.start()


async def unplugged(world: World) -> None:
    """Take the radio away and wait until the gateway has noticed."""
    await world.mesh.unplug()

    async def is_noticed() -> bool:
        return (await bridge(world, "radio"))["state"] == "down"

    await world.box.wait_until(is_noticed)


async def shown(world: World, *command: str) -> str:
    """Return what the command line prints."""
    program = (sys.executable, "-P", "-m", "gateway", *command, "--config", str(world.box.config))
    process = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def test_a_radio_that_comes_back_to_a_stale_backlog_tells_it_in_one_digest_then_the_rest(world: World) -> None:
    await fold_after(world, STALE_S)
    await say_in_room(world, 0)
    await world.heard("Baker: room 0")

    await unplugged(world)
    await say_in_room(world, *range(1, 28))
    await journalled(world, 28)
    await asyncio.sleep(STALE_S + 1)
    await say_in_room(world, 28, 29, 30)
    await journalled(world, 31)
    await world.mesh.plug()

    await world.heard("Baker: room 30")
    first, digest, *rest = world.all_heard()
    assert first == "Baker: room 0"
    assert digest.startswith(f"27 earlier from {world.town.alias} ")
    assert digest.endswith("Baker: room 26 | Baker: room 27")
    assert len(digest.encode()) <= 232
    assert rest == ["Baker: room 28", "Baker: room 29", "Baker: room 30"]

    listed = json.loads(await shown(world, "messages", "-o", "json", "--limit", "50"))
    texts = {said["text"]: said for said in listed}
    carrier = texts["room 27"]["deliveries"][0]
    assert carrier["state"] in {"sent", "heard"}
    assert {texts[f"room {n}"]["deliveries"][0]["state"] for n in range(1, 27)} == {"folded"}
    message = await shown(world, "messages", "show", texts["room 1"]["id"])
    assert "folded" in message
    assert f"into the digest {carrier['id']}" in message


async def test_what_is_edited_or_taken_back_while_the_radio_is_away_goes_on_air_as_it_was_left(world: World) -> None:
    await unplugged(world)
    said = [await world.person.say(text) for text in ("meet at nine", "by the old mill", "my number is 555")]
    await journalled(world, 3)
    new = {"msgtype": "m.text", "body": "meet at ten"}
    relation = {"rel_type": "m.replace", "event_id": said[0]}
    await world.person.send("m.room.message", new | {"m.new_content": new, "m.relates_to": relation})
    await world.person.call("PUT", f"rooms/{world.person.room_id}/redact/{said[2]}/1", {})
    await journalled(world, 5)
    await world.mesh.plug()
    await say_in_room(world, 0)

    await world.heard("Baker: room 0")
    assert world.all_heard() == ["Baker: meet at ten", "Baker: by the old mill", "Baker: room 0"]
