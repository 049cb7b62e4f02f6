# SPDX-License-Identifier: GPL-3.0-or-later
"""The desk itself: knows who may what, has commands done, and says what came of it. Knows no network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from gateway.desk.commands import Command, find
from gateway.desk.once import Once
from gateway.desk.positions import Positions
from gateway.desk.visit import Joining, Running, Visit
from gateway.desk.words import Request, parse
from gateway.model import Address, Asked, BridgeName, Declined, Joined, JournalError, Level, OutboxError, SenderId
from gateway.rulings import Rulings

log = structlog.get_logger()

STARTING = "the gateway is still starting: ask again in a moment"
DONE = "that was done already"


class FrontDesk:
    """Implements `gateway.model.Desk`. Bridges are given it when they are built; it answers once it is open."""

    def __init__(
        self, rulings: Rulings, joining: Joining, *, count: Callable[[BridgeName, str], None] = lambda _, __: None
    ) -> None:
        """`joining` makes routes and finds addresses. `count` is told of commands done and declined."""
        self._rulings = rulings
        self._joining = joining
        self._count = count
        self._running: Running | None = None
        self._once: Once
        self._changing = asyncio.Lock()
        self._positions = Positions()

    def open(self, running: Running) -> None:
        """From now on there is a gateway to ask."""
        self._once = Once(running.journal)
        self._running = running

    async def answer(self, asked: Asked) -> str:
        """Do what a command says; the answer has a few lines. Declined, with the reason, if it isn't done."""
        try:
            said = await self._answer(asked)
        except Declined:
            self._count(asked.at.bridge, "command_declined")
            raise
        except (JournalError, OutboxError) as error:
            self._count(asked.at.bridge, "command_declined")
            raise Declined(f"not now: {error}") from error
        self._count(asked.at.bridge, "command")
        return said

    async def _answer(self, asked: Asked) -> str:
        running = self._running
        if running is None:
            raise Declined(STARTING)
        level = self._rulings.level_of(asked.sender)
        if level is Level.NONE:
            raise Declined("you have no permission here; whoever runs this gateway can give it")
        request = parse(asked.words)
        command = find(request.name, level)
        visit = Visit(
            asked=asked,
            rest=request.rest,
            level=level,
            running=running,
            rulings=self._rulings,
            joining=self._joining,
            positions=self._positions,
        )
        return await self._do(command, request, visit)

    async def _do(self, command: Command, request: Request, visit: Visit) -> str:
        if not command.changes:
            return await command.run(visit)
        async with self._changing:  # one by one: the same one may come from two sides at once
            if not await self._once.is_new(visit.asked.id):
                return DONE
            said = await command.run(visit)
            await self._once.done(visit.asked.id)
        log.info("command_done", command=request.name, by=visit.asked.sender, at=str(visit.asked.at))
        return said

    # Routes: whoever makes them decides.

    def resolve(self, there: str) -> Address:
        """Return the address that somebody means. Declined if there is none."""
        return self._joining.resolve(there)

    def has_met(self, person: Address) -> bool:
        """Whether somebody's bridge has heard of them, or a route names them."""
        return self._joining.has_met(person)

    async def join(self, here: Address, there: Address, *, by: SenderId, direct: bool = False) -> Joined:
        """Let two conversations share their messages both ways. Declined with the reason."""
        return await self._joining.join(here, there, by=by, direct=direct)

    async def part(
        self, here: Address, there: Address | None = None, *, by: SenderId | None = None
    ) -> Sequence[Joined]:
        """End what was joined in a chat; return what is no more."""
        return await self._joining.part(here, there, by=by)

    def joined(self, here: Address) -> Sequence[Joined]:
        """Return the routes that have this conversation."""
        return self._joining.joined(here)
