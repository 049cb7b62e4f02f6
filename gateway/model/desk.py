# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bridge asks of the gateway for somebody who speaks to it in a chat: commands, and routes made by people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.model.errors import Declined
from gateway.model.message import Address, NativeId, SenderId


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One command, as somebody gave it; the prefix (``!mesh``) is off already."""

    sender: SenderId
    words: str = field(repr=False)
    at: Address
    """Where: the answer is said there, and what it means without naming an address is this one."""
    private: bool = False
    """Nobody but the asker (or those of the control room) reads the answer."""
    id: NativeId | None = None
    """What the command itself is called in the world (``mx:$event``): one that comes again is not done again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """Conversations that share their messages by one route."""

    route: str
    """The route's name."""
    ends: tuple[Address, ...]
    exposed_to: tuple[Address, ...] = ()
    """Those of them on networks that carry clear text through the air; none of a direct chat."""
    direct: bool = False
    """A direct chat with one person, not a conversation of many."""
    by: SenderId | None = None
    """Who made it in a chat; None: the configuration file."""
    at_ms: int | None = None


class Desk(Protocol):
    """The gateway's front desk. Every call may be made by anyone: the desk itself knows who may what.

    A request that is not granted, or makes no sense, raises Declined with the reason in words.
    """

    async def answer(self, asked: Asked) -> str:
        """Do what a command says and return the answer, plain text of a few lines. Raises Declined only."""
        ...

    def resolve(self, there: str) -> Address:
        """Return the address that somebody means: an address, a channel's, room's or node's name or id."""
        ...

    def has_met(self, person: Address) -> bool:
        """Whether somebody's bridge has heard of them, or a route names them. True where it keeps no list."""
        ...

    async def join(self, here: Address, there: Address, *, by: SenderId, direct: bool = False) -> Joined:
        """Let two conversations share their messages both ways from now on, after restarts too.

        The bridge has made sure that `by` has the say over `here` on its own network.
        """
        ...

    async def part(
        self, here: Address, there: Address | None = None, *, by: SenderId | None = None
    ) -> Sequence[Joined]:
        """End what was joined in a chat; `there` None: all with this end. Return what is no more.

        `by` None: the conversation itself is gone (everybody left, we were put out).
        """
        ...

    def joined(self, here: Address) -> Sequence[Joined]:
        """Return the routes that have this conversation, the file's and those made in chats."""
        ...


class NoDesk:
    """Where there is none (tests, tools): declines everything."""

    async def answer(self, asked: Asked) -> str:
        """Decline."""
        del asked
        raise Declined("there is nobody here to ask")

    def resolve(self, there: str) -> Address:
        """Decline."""
        raise Declined(f"{there} is not known here")

    def has_met(self, person: Address) -> bool:
        """Nobody."""
        del person
        return False

    async def join(self, here: Address, there: Address, *, by: SenderId, direct: bool = False) -> Joined:
        """Decline."""
        del here, there, by, direct
        raise Declined("no routes can be made here")

    async def part(
        self, here: Address, there: Address | None = None, *, by: SenderId | None = None
    ) -> Sequence[Joined]:
        """End nothing."""
        del here, there, by
        return ()

    def joined(self, here: Address) -> Sequence[Joined]:
        """Know of none."""
        del here
        return ()
