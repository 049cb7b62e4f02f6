# SPDX-License-Identifier: GPL-3.0-or-later
"""What is remembered of ghosts, and how an answer of the homeserver changes what we do."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bridges.matrix.appservice import registry as registry_module
from bridges.matrix.appservice.ghosts import DEVICE, RENAME_EVERY_MS, Ghosts
from bridges.matrix.appservice.names import Ghost
from bridges.matrix.appservice.registry import Record, Registry
from bridges.matrix.client import Client, Refused
from bridges.matrix.lateness import stamp
from gateway.clock import ManualClock
from gateway.model import BridgeContext, BridgeName, LinkDown, RateLimited

NOW = 1_795_701_720_000
BEA = Ghost(localpart="mesh_a1b2c301", name="Bea (mesh)")


class Homeserver(Client):
    """Answers everything, fails as it is told, and notes what it was asked."""

    def __init__(self) -> None:
        super().__init__("http://gw.test", "@crossband:gw.test")
        self.asked: list[str] = []
        self.fails: dict[str, Exception] = {}
        self.profile: dict[str, Any] = {}

    async def _call(self, method: str, path: tuple[str, ...], body: Any, **more: Any) -> Mapping[str, Any]:
        what = f"{method} {path[-1]}"
        self.asked.append(what)
        if what in self.fails:
            raise self.fails[what]
        return self.profile if path[0] == "profile" and method == "GET" else {"content_uri": "mxc://gw.test/x"}


class World:
    def __init__(self, folder: Path) -> None:
        self.server = Homeserver()
        self.clock = ManualClock(NOW)
        self.counts: list[str] = []
        self.context = BridgeContext(
            name=BridgeName("home"),
            table={},
            state_dir=folder,
            clock=self.clock,
            random=random.Random(1),
            count=self.counts.append,
        )
        self.ghosts = Ghosts(self.server, self.context, "gw.test")

    async def asked(self, ghost: Ghost = BEA) -> list[str]:
        self.server.asked.clear()
        await self.ghosts.ensure(ghost)
        return self.server.asked


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


FIRST = ["POST register", f"PUT {DEVICE}", "PUT displayname", "POST upload", "PUT avatar_url"]


async def test_a_ghost_is_made_once_and_then_costs_nothing(world: World, tmp_path: Path):
    assert await world.asked() == FIRST
    assert await world.asked() == []
    await world.ghosts.save()
    assert await World(tmp_path).asked() == []


async def test_to_decline_a_ghost_needs_no_name_picture_or_device(world: World):
    await world.ghosts.registered(BEA.localpart)
    assert world.server.asked == ["POST register"]
    assert not await world.ghosts.knows(BEA.localpart)
    await world.asked()
    assert await world.ghosts.knows(BEA.localpart)


async def test_one_that_is_there_already_is_asked_how_it_looks(world: World):
    world.server.fails["POST register"] = Refused("x", status=400, errcode="M_USER_IN_USE")
    world.server.profile = {"displayname": "Bea (mesh)", "avatar_url": "mxc://gw.test/own"}
    assert await world.asked() == ["POST register", "GET @mesh_a1b2c301:gw.test", f"PUT {DEVICE}"]


async def test_a_name_is_changed_once_an_hour_but_the_first_real_one_at_once(world: World):
    unnamed = Ghost(localpart=BEA.localpart, name="!a1b2c301 (mesh)")
    assert await world.asked(unnamed) == FIRST
    assert await world.asked(BEA) == ["PUT displayname"]
    other = Ghost(localpart=BEA.localpart, name="Bee (mesh)")
    assert await world.asked(other) == []
    world.clock.advance(RENAME_EVERY_MS / 1000)
    assert await world.asked(other) == ["PUT displayname"]


@pytest.mark.parametrize(
    ("error", "then"),
    [
        (Refused("x", status=403, errcode="M_FORBIDDEN"), []),  # not asked again before the next name
        (RateLimited("x"), ["PUT displayname", "POST upload", "PUT avatar_url"]),
        (LinkDown("500: the disk of the media is full"), ["PUT displayname", "POST upload", "PUT avatar_url"]),
    ],
)
async def test_without_a_name_or_picture_it_speaks_all_the_same(world: World, error: Exception, then: list[str]):
    world.server.fails |= {"PUT displayname": error, "POST upload": error}
    assert await world.asked() == ["POST register", f"PUT {DEVICE}", "PUT displayname", "POST upload"]
    assert world.counts.count("matrix_ghost_profile_refused") == 2
    world.server.fails.clear()
    assert await world.asked() == then


async def test_a_homeserver_without_such_devices_gets_none(world: World):
    world.server.fails[f"PUT {DEVICE}"] = Refused("x", status=404, errcode="M_NOT_FOUND")
    client = await world.ghosts.ensure(BEA)
    assert client._acting == {"user_id": "@mesh_a1b2c301:gw.test"}


async def test_what_can_not_be_made_now_is_made_later(world: World):
    world.server.fails["POST register"] = LinkDown("gone")
    with pytest.raises(LinkDown):
        await world.asked()
    world.server.fails.clear()
    assert await world.asked() == FIRST


async def test_a_ghost_comes_by_invitation_where_it_may_not_come_by_itself(world: World):
    await world.ghosts.join(BEA.localpart, "!r")
    assert world.server.asked == ["POST join"]
    world.server.asked.clear()
    world.server.fails["POST join"] = Refused("x", status=403, errcode="M_FORBIDDEN")
    with pytest.raises(Refused):
        await world.ghosts.join(BEA.localpart, "!r")
    assert world.server.asked == ["POST join", "POST invite", "POST join"]


async def test_only_ghosts_of_our_server_are_ghosts(world: World):
    assert world.ghosts.localpart("@mesh_a1b2c301:gw.test") == "mesh_a1b2c301"
    for other in ("@mesh_a1b2c301:other.test", "@mesh_a1b2c301:gw.test:8448", "@crossband:gw.test", "mesh_a1b2c301"):
        assert world.ghosts.localpart(other) is None
    with pytest.raises(ValueError, match="crossband"):
        await world.ghosts.ensure_bare("crossband")


async def test_the_registry_is_bounded_and_the_longest_silent_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(registry_module, "MOST_GHOSTS", 2)
    kept = Registry(tmp_path / "ghosts.json")
    for localpart in ("a", "b"):
        kept.put(localpart, Record(name=localpart))
    kept.get("a")
    kept.put("c", Record(name="c"))
    await kept.save()
    read = Registry(tmp_path / "ghosts.json")
    await read.read()
    assert [read.get(localpart) and read.get(localpart).name for localpart in "abc"] == ["a", None, "c"]


async def test_the_registry_is_written_now_and_then_and_at_the_end(tmp_path: Path):
    file = tmp_path / "ghosts.json"
    kept = Registry(file)
    kept.put("a", Record(name="a"))
    await kept.save(100.0)
    kept.put("b", Record(name="b"))
    await kept.save(101.0)
    assert '"b"' not in file.read_text()
    await kept.save()
    assert '"b"' in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "words", ["", "x", "[]", '{"ghosts": 1}', '{"ghosts": {"a": 1}}', '{"ghosts": {"a": {"named_ms": "x"}}}']
)
async def test_a_damaged_registry_is_no_harm(tmp_path: Path, words: str):
    (tmp_path / "ghosts.json").write_text(words)
    kept = Registry(tmp_path / "ghosts.json")
    await kept.read()
    assert (kept.get("a") or Record()).named_ms == 0


@pytest.mark.parametrize(
    ("received_ms", "stamped"),
    [
        (NOW, None),
        (NOW - 5_000, None),
        (NOW - 5_001, NOW - 5_001),
        (NOW + 1, None),
        (1_577_836_799_999, None),
        (0, None),
    ],
)
def test_only_what_comes_late_by_a_clock_that_was_set_gets_its_own_time(received_ms: int, stamped: int | None):
    assert stamp(received_ms, NOW) == stamped
