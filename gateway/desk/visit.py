# SPDX-License-Identifier: GPL-3.0-or-later
"""One question at the desk: who asks, where, what they may see there, and whom the desk asks in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from gateway.config import Settings
from gateway.costs import Price
from gateway.desk.positions import Positions
from gateway.journal import DeadLetters, Journal
from gateway.model import Address, Asked, Asking, BridgeName, Clock, DeliveryId, Joined, Level, Node, SenderId
from gateway.outlook import Outlook
from gateway.redrive import Redrives
from gateway.rulings import OPERATOR, Rulings
from gateway.status import BridgeStatus, JournalStatus, QueueStatus


class Joining(Protocol):
    """Routes made while running: as `gateway.model.Desk` has them."""

    def resolve(self, there: str) -> Address:
        """Return the address that somebody means."""
        ...

    def has_met(self, person: Address) -> bool:
        """Whether somebody's bridge has heard of them, or a route names them."""
        ...

    async def join(self, here: Address, there: Address, *, by: SenderId, direct: bool = False) -> Joined:
        """Let two conversations share their messages."""
        ...

    async def part(
        self, here: Address, there: Address | None = None, *, by: SenderId | None = None
    ) -> Sequence[Joined]:
        """End what was joined in a chat."""
        ...

    def joined(self, here: Address) -> Sequence[Joined]:
        """Return the routes that have this conversation."""
        ...


class Running(Protocol):
    """The running gateway, as far as the desk asks it; `gateway.operations` is it."""

    @property
    def settings(self) -> Settings:
        """The configuration it runs by."""
        ...

    @property
    def journal(self) -> Journal:
        """For reading only."""
        ...

    @property
    def clock(self) -> Clock:
        """The gateway's own."""
        ...

    @property
    def started_ms(self) -> int:
        """When it started."""
        ...

    @property
    def redrives(self) -> Redrives:
        """Sends many dead letters again, at a pace."""
        ...

    def bridges(self) -> Sequence[BridgeStatus]:
        """Every bridge with its state and why."""
        ...

    async def outlooks(self) -> Mapping[BridgeName, Outlook]:
        """How long what waits will take, of each bridge that schedules."""
        ...

    def queue_state(self) -> QueueStatus:
        """Whether the queue can be used."""
        ...

    def journal_state(self) -> JournalStatus:
        """Whether messages can be accepted."""
        ...

    def nodes(self) -> Sequence[tuple[BridgeName, Node]]:
        """Everybody the bridges know of."""
        ...

    def asking(self) -> Sequence[Asking]:
        """Who asks to be heard on radio."""
        ...

    def moderated(self) -> frozenset[BridgeName]:
        """The bridges whose rooms can be slowed."""
        ...

    async def where_is(self, there: Address) -> str:
        """Ask the other end of a direct chat where they are: this may take a minute."""
        ...

    async def price(self, which: DeadLetters) -> Price:
        """Reckon what sending these again would cost."""
        ...

    async def redrive(self, ids: Sequence[DeliveryId]) -> tuple[DeliveryId, ...]:
        """Send dead letters again; return those that were dead."""
        ...

    async def drop(self, ids: Sequence[DeliveryId]) -> tuple[DeliveryId, ...]:
        """Forget dead letters; return those that were dead."""
        ...

    async def cancel(self, ids: Sequence[DeliveryId]) -> tuple[DeliveryId, ...]:
        """Take waiting deliveries back; return those that will not be sent."""
        ...


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What a command is given. Not slotted: what it sees is worked out once."""

    asked: Asked
    rest: tuple[str, ...]
    """What stands after the command's name."""
    level: Level
    running: Running = field(repr=False)
    rulings: Rulings = field(repr=False)
    joining: Joining = field(repr=False)
    positions: Positions = field(repr=False)

    @property
    def now_ms(self) -> int:
        """The gateway's time."""
        return self.running.clock.now_ms()

    @property
    def where(self) -> str:
        """Where it was said, for the audit."""
        return self.asked.at.conversation if self.asked.sender == OPERATOR else str(self.asked.at)

    @property
    def sees_all(self) -> bool:
        """Whether the answer may be about every conversation, not this one's routes alone."""
        return self.asked.private and self.level >= Level.COMMANDS

    @property
    def sees_texts(self) -> bool:
        """Whether the answer may say what others wrote."""
        return self.asked.private and self.level is Level.ADMIN

    @cached_property
    def names(self) -> Mapping[SenderId, str]:
        """What nodes are called, by id."""
        return {node.id: node.name for _, node in self.running.nodes()}

    @cached_property
    def here(self) -> frozenset[Address]:
        """This conversation, and those that share its messages."""
        return frozenset({self.asked.at, *(end for one in self._routes for end in one.ends)})

    @cached_property
    def _shared(self) -> frozenset[Address]:
        """Those of them where many read along: who a direct chat is with may have others, which are none of ours."""
        return frozenset(end for one in self._routes if not one.direct for end in one.ends)

    @cached_property
    def _routes(self) -> Sequence[Joined]:
        return self.joining.joined(self.asked.at)

    def sees(self, address: Address) -> bool:
        """Whether the answer may be about what waits for this one."""
        return self.sees_all or address in self.here

    def sees_way(self, origin: Address, to: Address) -> bool:
        """Whether the answer may be about a message on its way from one to the other."""
        is_ours = self.asked.at == to or (self.asked.at == origin and to in self.here)
        return self.sees_all or is_ours or to in self._shared
