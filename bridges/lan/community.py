# SPDX-License-Identifier: GPL-3.0-or-later
"""Which boxes belong together with this one, and how that changes: by an invitation, by a word, by joining others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridges.lan.event import BoxId, Event, box_of
from bridges.lan.exchange import Exchange
from bridges.lan.held import Held
from bridges.lan.identity import box_key, community, keep_community
from bridges.lan.joining import Doorkeeper, ask_in, must_be_alone
from bridges.lan.log import Log
from bridges.lan.membership import Add, Member, Remove, Roll
from bridges.lan.pairing import GOOD_FOR_S, Code
from bridges.lan.tls import Contexts
from gateway.model import Clock, Declined


class Identity:
    """Who this box is, and the first box of its community; AuthFailed if that can't be read."""

    def __init__(self, folder: Path, name: str) -> None:
        """`folder`: private to us."""
        self.name = name
        self.key: Ed25519PrivateKey = box_key(folder)
        self.root: Member = community(folder, self.key.public_key(), name)
        self._folder = folder

    def belong(self, root: Member) -> None:
        """Belong to this community from now on; OSError if the disk refuses."""
        keep_community(self._folder, root)
        self.root = root


class Community:
    """The boxes of one log. What it believes decides whose handshakes succeed: `contexts`."""

    def __init__(
        self,
        identity: Identity,
        held: Held,
        exchange: Exchange,
        *,
        clock: Clock,
        count: Callable[[str], None],
        begin: Callable[[], Log],
    ) -> None:
        """`begin`: begins the log anew, for the root that `identity` has then. It is open already."""
        self.contexts = Contexts(identity.key)
        self.door = Doorkeeper(
            clock=clock,
            count=count,
            roll=lambda: self.roll,
            root=lambda: identity.root,
            add=self.add,
            statements=self.statements,
        )
        self._identity = identity
        self._held = held
        self._exchange = exchange
        self._clock = clock
        self._begin = begin
        exchange.on_roll = self._believe
        self._believe(self.roll)

    @property
    def root(self) -> Member:
        """The first box."""
        return self._identity.root

    @property
    def roll(self) -> Roll:
        """Who belongs, and belonged."""
        return self._held.state.roll

    @property
    def members(self) -> Sequence[Member]:
        """Who belongs now."""
        return self.roll.members

    @property
    def is_member(self) -> bool:
        """Whether we belong still."""
        return self.roll.is_member(self._box)

    def name_of(self, box: BoxId) -> str:
        """Return what a box is called; its id if it never said."""
        member = self.roll.boxes.get(box)
        return member.name if member and member.name else box

    async def add(self, key: bytes, name: str) -> None:
        """Let a box in."""
        await self._state(Add(key=key, name=name))

    def invite(self, key: bytes, good_for_s: float = GOOD_FOR_S) -> None:
        """Let in, once, whoever proves this key; Declined if too many invitations are open."""
        if not self.door.invitations.open(key, self._clock.monotonic(), good_for_s):
            raise Declined("too many invitations are open: wait until one is used, or over")
        self._believe(self.roll)

    async def join(self, code: Code, addresses: Sequence[str] = ()) -> str:
        """Become part of another community; return where the box is that let us in.

        Declined, with the reason, if this box has one, or isn't let in. `addresses`: where to ask besides the code's.
        """
        must_be_alone(self.roll)
        at, welcome = await ask_in(code, self._identity.key, self._identity.name, addresses)
        self._identity.belong(welcome.root)
        await self._held.open(self._begin)
        self._exchange.presence.restart(self._held.state.feed)
        await self.believe(welcome.statements)
        return at

    async def remove(self, box: BoxId) -> None:
        """Put a box out; Declined if it isn't one of ours."""
        if not self.roll.is_member(box):
            raise Declined(f"no box {box} belongs to this community")
        if box == self._box:
            raise Declined("a box can't put itself out: do it at another")
        have = await self._held.read(lambda log: log.without(box))
        await self._state(Remove(box=box, frontier=have))

    async def statements(self) -> list[Event]:
        """Return all that boxes said of boxes: what a box needs that joins."""
        return await self._held.read(lambda log: log.statements())

    async def believe(self, statements: Sequence[Event]) -> None:
        """Take what boxes said of boxes; whatever no member signed is left out."""
        await self._held.write(lambda log: log.take_statements(statements))
        self._believe(self.roll)
        self._exchange.changed()

    def close_invitations(self) -> None:
        """Let nobody in any more by an invitation that is over."""
        self._accept(self.roll)

    @property
    def _box(self) -> BoxId:
        return box_of(self._held.state.feed)

    async def _state(self, says: Add | Remove) -> None:
        await self._held.write(lambda log: log.state(says, self._clock.now_ms()))
        self._believe(self.roll)
        self._exchange.changed()

    def _believe(self, roll: Roll) -> None:
        self._accept(roll)
        self._exchange.forget(roll)

    def _accept(self, roll: Roll) -> None:
        self.contexts.accept([member.key for member in roll.members], self.door.keys())
