# SPDX-License-Identifier: GPL-3.0-or-later
"""What `crossband lan` asks of a running bridge: who belongs, letting a box in, joining, putting one out.

The bridge hands `Adjustable`'s three calls on to this. Settings that can be changed: ``invite.KEY`` (for how
many seconds whoever proves KEY may join), ``join`` (a code), ``remove.BOX`` = ``yes``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bridges.lan.addresses import Place, Source
from bridges.lan.event import BoxId
from bridges.lan.identity import KEY_BYTES
from bridges.lan.joining import must_be_alone
from bridges.lan.membership import Member
from bridges.lan.mesh import Mesh
from bridges.lan.pairing import LONGEST_S, NoCode, code_of
from gateway.model import Alteration, Clock, Declined

MOST_NAMED = 8


class Administration:
    """The operator's hand on one mesh."""

    def __init__(self, mesh: Mesh, clock: Clock) -> None:
        self._mesh = mesh
        self._clock = clock

    def settings(self) -> Mapping[str, Any]:
        """Return who belongs and how it is with each, as JSON has it."""
        mesh = self._mesh
        warnings = [{"words": words} for words in self._warnings()]
        if mesh.discovery is not None and mesh.discovery.reason:
            warnings.append({"words": mesh.discovery.reason})
        return {
            "box": mesh.box,
            "name": mesh.settings.name,
            "root": mesh.community.root.box,
            "addresses": list(mesh.presence.own.addresses),
            "members": [self._row(member) for member in mesh.community.members],
            "places": [{"address": each.address, "box": each.box or "", "up": each.is_up} for each in mesh.places],
            "invitations": [int(left) for left in mesh.community.door.invitations.left_s(self._clock.monotonic())],
            "warnings": warnings,
        }

    def _warnings(self) -> Iterator[str]:
        mesh, called = self._mesh, self._mesh.settings.name
        if not mesh.community.is_member:
            yield "this box was put out by the others, who ignore it"
        elif away := self._that_hang_up():
            yield f"{away} hung up on this box, as boxes do on one that was put out: docs/lan.md"
        if any(member.name == called and member.box != mesh.box for member in mesh.community.members):
            yield f"another box is called {called}, too: people at both pages are taken for each other"
        elif (known := mesh.community.name_of(mesh.box)) != called:
            yield f"the others know this box as {known}, under which it joined; [gateway] name is {called}"

    def _that_hang_up(self) -> str:
        """Return where members do, if none of them is heard: places of theirs, or that the operator says are."""
        mesh = self._mesh
        if len(mesh.community.members) < 2 or len(mesh.live()) > 1:  # noqa: PLR2004 - this one, and another
            return ""
        ours = {member.box for member in mesh.community.members}
        places = (place for place in mesh.places if place.box in ours or place.source is Source.CONFIGURED)
        return ", ".join(place.address for place in places if place.hung_up)

    def alterations(self, wanted: Mapping[str, str]) -> Sequence[Alteration]:
        """Return what would change; Declined if that makes no sense."""
        return [self._alteration(key, value) for key, value in wanted.items()]

    async def adjust(self, wanted: Mapping[str, str]) -> Sequence[Alteration]:
        """Do it."""
        found = self.alterations(wanted)
        for key, value in wanted.items():
            kind, _, rest = key.partition(".")
            if kind == "invite":
                self._mesh.community.invite(bytes.fromhex(rest), float(value))
            elif key == "join":
                await self._mesh.join(code_of(value))
            elif kind == "remove":
                await self._mesh.community.remove(self._member(rest).box)
        return found

    def _alteration(self, key: str, value: str) -> Alteration:
        kind, _, rest = key.partition(".")
        if kind == "invite":
            _check_invitation(rest, value)
            return Alteration(key=key, was="", becomes=f"open for {value} s")
        if key == "join":
            must_be_alone(self._mesh.state.roll)
            try:
                return Alteration(key=key, was=self._mesh.community.root.box, becomes=code_of(value).box)
            except NoCode as error:
                raise Declined(str(error)) from None
        if kind == "remove" and value == "yes":
            member = self._member(rest)
            return Alteration(key=key, was="member", becomes="removed", cuts_off=self._cut_off_with(member))
        raise Declined(f"a LAN bridge has no setting {key!r}")

    def _cut_off_with(self, member: Member) -> str:
        """Return what a removal cuts off, and what it doesn't: a stolen box may have let its friends in."""
        let_in = [f"{one.name} ({one.box[:8]})" for one in self._mesh.community.members if one.by == member.box]
        more = f" and {len(let_in) - MOST_NAMED} more" if len(let_in) > MOST_NAMED else ""
        stay = f"; boxes it let in stay: {', '.join(let_in[:MOST_NAMED])}{more}" if let_in else ""
        return f"box {member.name or member.box}{stay}"

    def _member(self, named: str) -> Member:
        """Return the member with this name, else with this id or the beginning of it; Declined unless it is one."""
        members = self._mesh.community.members
        called = [m for m in members if named and m.name == named]
        found = called or [m for m in members if named and m.box.startswith(named)]  # "b" begins many an id
        if len(found) != 1:
            known = ", ".join(f"{m.name} ({m.box[:8]})" for m in members)
            raise Declined(f"{named!r} is {'no box' if not found else 'more than one box'} here; there is: {known}")
        if found[0].box == self._mesh.box:
            raise Declined("a box can't put itself out: do it at another")
        return found[0]

    def _row(self, member: Member) -> dict[str, Any]:
        mesh = self._mesh
        now_s = self._clock.monotonic()
        if member.box == mesh.box:
            own = {
                "addresses": list(mesh.presence.own.addresses),
                "heard_s": 0,
                "serves": sorted(mesh.presence.own.serving),
            }
            return {"name": member.name, "box": member.box, "here": True, "lacks": 0, "ahead": 0, "counts": {}} | own
        seen = mesh.presence.seen(now_s).get(member.box)
        peer = mesh.exchange.peers.get(member.box)
        counts = Counter(lost=mesh.exchange.lost[member.box]) + (peer.counts if peer else Counter())
        known = peer if peer and peer.is_known else None
        return {
            "name": member.name,
            "box": member.box,
            "here": False,
            **_where(mesh.places.of(BoxId(member.box))),
            "heard_s": None if seen is None else int(now_s - seen.heard_s),
            "serves": [] if seen is None else sorted(seen.detail.serving),
            "lacks": None if known is None else known.less_than(mesh.state),
            "ahead": None if known is None else known.more_than(mesh.state),
            "counts": dict(+counts),
        }


def _where(places: Sequence[Place]) -> dict[str, Any]:
    """Return where a box answers; if nowhere, why not: of one that does, no other place needs looking at."""
    addresses = [place.address for place in places if place.is_up]
    reasons = [place.reason for place in places if place.reason]
    return {"addresses": addresses, "reason": "" if addresses else next(iter(reasons), "")}


def _check_invitation(key: str, seconds: str) -> None:
    try:
        is_key = len(bytes.fromhex(key)) == KEY_BYTES
    except ValueError:
        is_key = False
    if not is_key or not (seconds.isascii() and seconds.isdigit()) or not 0 < int(seconds) <= LONGEST_S:
        raise Declined("an invitation is a key and for how many seconds it is good, at most a day")
