# SPDX-License-Identifier: GPL-3.0-or-later
"""A small world on this machine: a homeserver, a mesh of radios, people on both, and a gateway between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bridges.sim.airwaves import Airwaves
from bridges.sim.box import GatewayBox, Wiring
from bridges.sim.control import SimProcess
from bridges.sim.person import Person
from bridges.sim.synapse import Account, Synapse

TIME_SCALE = 2.0
"""Mesh seconds per second. Not more: a text would be off the air, and answered, before its sender's own node
has said that it took it, which no real one can be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a world is made of."""

    folder: Path
    """Its own; short, as sockets are in it."""
    synapse: Synapse | None = None
    """A homeserver that runs already and goes on running; None: one of its own, that remembers across restarts."""
    prefix: str = ""
    """Before accounts and the room's alias, where a homeserver is shared."""
    also: str = ""
    """Another node of the mesh with a serial port of its own, ``mesh/radio-NODE`` in the folder."""
    people: tuple[str, ...] = ("Baker", "Teacher")
    room: str = "town"
    time_scale: float = TIME_SCALE
    more: str = ""
    """More of the gateway's configuration."""
    tables: Mapping[str, str] = field(default_factory=dict)
    """More of its bridges' tables, by their names."""
    password: str | None = None
    """Of the visitor's account; None: any."""
    listen_port: int | None = None


class Town:
    """All of it, as an async context manager; `step` is told what is being started."""

    def __init__(self, plan: Plan, *, step: Callable[[str], None] = lambda _: None) -> None:
        self.plan = plan
        self._step = step
        self._stack = AsyncExitStack()
        self.synapse: Synapse
        self.radios: Airwaves
        self.people: dict[str, Person] = {}
        self.visitor: Person
        """A third person, who only watches unless told otherwise."""
        self.visitor_account: Account
        self.box: GatewayBox

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._step("homeserver")
            self.synapse = self.plan.synapse or self._new_synapse()
            if self.plan.synapse is None:
                await stack.enter_async_context(self.synapse)
            self._step("radios")
            mesh = await stack.enter_async_context(
                SimProcess(self.plan.folder / "mesh", time_scale=self.plan.time_scale, **self._more_ports())
            )
            self.radios = await stack.enter_async_context(Airwaves(mesh.directory))
            self._step("people")
            gateway = await self._move_in(stack)
            self._step("gateway")
            wiring = self._wiring(gateway, f"serial:{mesh.port}")
            self.box = GatewayBox(self.plan.folder / "box", wiring, port=self.plan.listen_port)
            await stack.enter_async_context(self.box)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(exc_type, exc, tb)

    @property
    def alias(self) -> str:
        """The room's alias."""
        return f"#{self.plan.prefix}{self.plan.room}:{self.synapse.server_name}"

    def _more_ports(self) -> dict[str, Any]:
        return {"also": self.plan.also} if self.plan.also else {}

    def _new_synapse(self) -> Synapse:
        return Synapse(self.plan.folder / "synapse", database="file", server_name="town.test")

    async def _move_in(self, stack: AsyncExitStack) -> Account:
        """Make the accounts and the room, bring everyone in; return the gateway's account."""
        gateway = await self.synapse.register_user(f"{self.plan.prefix}crossband")
        for name in self.plan.people:
            account = await self.synapse.register_user(f"{self.plan.prefix}{name.lower()}")
            self.people[name] = await self._person(account, name)
        self.visitor_account = await self.synapse.register_user(f"{self.plan.prefix}visitor", self.plan.password)
        self.visitor = await self._person(self.visitor_account, "Visitor")
        host, *guests = (*self.people.values(), self.visitor)
        invited = [gateway.user_id, *(guest.user_id for guest in guests)]
        await host.create_room(f"{self.plan.prefix}{self.plan.room}", name=self.plan.room, invite=invited)
        for guest in guests:
            await guest.join(self.alias)
        for person in (host, *guests):
            await stack.enter_async_context(person)
        return gateway

    async def _person(self, account: Account, name: str) -> Person:
        person = Person(self.synapse.url, user_id=account.user_id, access_token=account.access_token)
        await person.rename(name)
        return person

    def _wiring(self, gateway: Account, radio: str) -> Wiring:
        return Wiring(
            homeserver=self.synapse.url,
            user_id=gateway.user_id,
            access_token=gateway.access_token,
            room=self.alias,
            radio=radio,
            more=self.plan.more,
            tables=self.plan.tables,
        )
