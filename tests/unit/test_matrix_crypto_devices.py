# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking for other people's devices, as seldom as can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bridges.matrix.crypto.devices import ASK_AGAIN_S, CLAIM_AGAIN_S, Devices


class World:
    """The homeserver's side and the machine's; `silent` users' homeservers don't answer."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.silent: set[str] = set()
        self.keyless: set[str] = set()
        self.queries: list[list[str]] = []
        self.claims: list[dict[str, Any]] = []
        self.sessions: set[tuple[str, str]] = set()
        self.learned: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.devices = Devices(self, lambda: self.now_s)  # type: ignore[arg-type] # the part of a client that is used

    async def post(self, *path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == ("keys", "claim"):
            self.claims.append(body["one_time_keys"])
            return {"one_time_keys": {u: d for u, d in body["one_time_keys"].items() if u not in self.keyless}}
        self.queries.append(sorted(body["device_keys"]))
        self.meanwhile()
        return {"device_keys": {user: {} for user in body["device_keys"] if user not in self.silent}}

    def learn_devices(self, device_keys: dict[str, Any]) -> None:
        self.learned += sorted(device_keys)

    def without_session(self, devices: Any) -> list[tuple[str, str]]:
        return sorted(set(devices) - self.sessions)

    def begin_sessions(self, one_time_keys: dict[str, Any]) -> None:
        self.sessions |= {(user, device) for user, devices in one_time_keys.items() for device in devices}


@pytest.fixture
def world() -> World:
    return World()


async def refresh(world: World, *among: str) -> frozenset[str]:
    return await world.devices.refresh(world, among or None)  # type: ignore[arg-type] # the part of a machine that is used


async def test_a_user_is_asked_for_once_and_again_only_when_their_devices_changed(world: World) -> None:
    world.devices.changed(["@ali:x"])
    assert await refresh(world) == frozenset(), "nobody wants to know"
    world.devices.want(["@ali:x", "@bea:x"])
    assert await refresh(world, "@ali:x") == {"@ali:x"}
    world.devices.want(["@ali:x", "@bea:x"])
    assert await refresh(world) == {"@bea:x"}
    world.devices.changed(["@ali:x"])
    world.devices.left(["@bea:x"])
    await refresh(world)
    world.devices.changed(["@bea:x"])
    await refresh(world)
    assert world.queries == [["@ali:x"], ["@bea:x"], ["@ali:x"]]
    world.devices.forget()
    assert await refresh(world) == {"@ali:x"}


async def test_a_user_whose_homeserver_is_silent_is_asked_for_again_a_minute_later(world: World) -> None:
    world.silent = {"@far:y"}
    world.devices.want(["@far:y", "@ali:x"])
    assert await refresh(world) == {"@ali:x"}
    world.now_s = ASK_AGAIN_S - 1
    assert await refresh(world) == frozenset()
    world.now_s, world.silent = ASK_AGAIN_S, set()
    assert await refresh(world) == {"@far:y"}
    assert world.queries == [["@ali:x", "@far:y"], ["@far:y"]]


async def test_what_changes_while_it_is_asked_for_is_asked_for_again(world: World) -> None:
    def changes() -> None:
        world.now_s += 1
        world.meanwhile = lambda: None
        world.devices.changed(["@ali:x"])

    world.meanwhile = changes
    world.devices.want(["@ali:x"])
    assert await refresh(world) == frozenset()
    assert await refresh(world) == {"@ali:x"}


async def test_many_users_are_asked_for_in_bounded_requests(world: World) -> None:
    world.devices.want([f"@u{n}:x" for n in range(450)])
    await refresh(world)
    assert [len(query) for query in world.queries] == [200, 200, 50]


async def test_a_device_without_a_key_left_is_asked_for_again_later(world: World) -> None:
    ali, bea = ("@ali:x", "A"), ("@bea:x", "B")
    world.keyless = {"@bea:x"}
    for _ in range(2):
        await world.devices.begin_sessions(world, {ali, bea})  # type: ignore[arg-type] # as above
    assert world.sessions == {ali}
    assert len(world.claims) == 1
    world.now_s, world.keyless = CLAIM_AGAIN_S, set()
    await world.devices.begin_sessions(world, {ali, bea})  # type: ignore[arg-type] # as above
    assert world.sessions == {ali, bea}
