# SPDX-License-Identifier: GPL-3.0-or-later
"""The boxes' side of moderation: a `gateway.model.Community` on the log."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence

from bridges.lan.event import BoxId, Event
from bridges.lan.ledger import MeshLedger
from bridges.lan.mesh import Mesh
from bridges.lan.verdicts import PREFIX, Entry, Verdicts, body_of, is_fading, is_for_all, told
from gateway.model import Clock, Matter, Verdict


class Concord:
    """One box's. It must be told of every event (`learn`)."""

    def __init__(self, mesh: Mesh, ledger: MeshLedger, clock: Clock, count: Callable[[str], None]) -> None:
        self._mesh = mesh
        self._ledger = ledger
        self._clock = clock
        self._verdicts = Verdicts(count)

    def learn(self, events: Iterable[Event]) -> None:
        """Take what is of ours among these."""
        for event in events:
            self._verdicts.learn(event)

    def shares(self, matter: Matter, about: str) -> bool:
        """Whether it is for all boxes to decide: not for one that the others put out."""
        return is_for_all(matter, about) and self._is_member()

    def verdict(self, matter: Matter, about: str) -> Verdict | None:
        """Return the latest of the boxes that belong."""
        found = self._found(matter, about)
        return None if found is None else told(found, me=self._ledger.box, named=self._ledger.named)

    def verdicts(self) -> Sequence[Verdict]:
        """Return all of those."""
        if not self._is_member():
            return ()
        return [one for matter, about in self._verdicts.all() if (one := self.verdict(matter, about)) is not None]

    def fades(self, matter: Matter, about: str) -> bool:
        """Whether the log will soon forget it."""
        found = self._found(matter, about)
        return found is not None and is_fading(found[1], self._clock.now_ms(), self._mesh.settings.retention_s)

    async def declare(self, verdict: Verdict, shown: Callable[[], Awaitable[None]]) -> None:
        """Write it, and know it by the time this returns. `shown`: has what is new in the log learnt."""
        about = (verdict.matter, verdict.about)
        now = self._found(verdict.matter, verdict.about)
        is_again = now is not None and now[0] == self._ledger.box and _is_same(now[1].verdict, verdict)
        place = now[1].place if now is not None and is_again else self._verdicts.next_place(about)
        await self._ledger.write(f"{PREFIX}{verdict.matter.value}:{secrets.token_hex(16)}", body_of(verdict, place))
        await shown()

    def _found(self, matter: Matter, about: str) -> tuple[BoxId, Entry] | None:
        return self._verdicts.of((matter, about), self._counts)

    def _is_member(self) -> bool:
        return not self._ledger.box or self._counts(self._ledger.box)

    def _counts(self, box: BoxId) -> bool:
        roll = self._ledger.roll
        return roll is None or roll.is_member(box)


def _is_same(known: Verdict, said: Verdict) -> bool:
    return (known.by, known.at_ms, known.over, known.ban, known.for_s, known.every_s) == (
        said.by,
        said.at_ms,
        said.over,
        said.ban,
        said.for_s,
        said.every_s,
    )
