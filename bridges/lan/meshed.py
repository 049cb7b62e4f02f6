# SPDX-License-Identifier: GPL-3.0-or-later
"""A LAN bridge among other boxes: its log is kept equal with theirs, and they agree on who speaks where."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from bridges.lan.administration import Administration
from bridges.lan.bridge import LanBridge
from bridges.lan.chorus import LanChorus
from bridges.lan.concord import Concord
from bridges.lan.config import LanConfig
from bridges.lan.entries import Said as SaidEntry
from bridges.lan.ledger import MeshLedger
from bridges.lan.mesh import Mesh
from bridges.lan.mesh_settings import MeshSettings
from bridges.lan.store import Arrived
from bridges.lan.transcript import entry_in
from bridges.lan.verdicts import PREFIX as VERDICT
from gateway.model import (
    Alteration,
    BridgeContext,
    Declined,
    Listen,
    Matter,
    MessageId,
    NativeId,
    Said,
    Speak,
    Utterance,
    Verdict,
)

RECALLED = 100_000
"""Events of the log's end that are read at the start for who said what: more than is remembered of it."""
AT_ONCE = 512


class MeshBridge(LanBridge):
    """Also a `gateway.model.Chorus` and `Adjustable`: built only where the configuration has `sync`."""

    def __init__(self, context: BridgeContext) -> None:
        self.mesh = Mesh(
            settings_of(LanConfig.read(context.table), context.box or context.name),
            context.state_dir,
            clock=context.clock,
            chance=context.random,
            count=context.count,
        )
        self._ledger = MeshLedger(self.mesh, context.count)
        self._chorus = LanChorus(self._ledger, context.clock)
        self._concord = Concord(self.mesh, self._ledger, context.clock, context.count)
        self._administration = Administration(self.mesh, context.clock)
        super().__init__(context, shared=self.mesh)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            await self._recall()
        except BaseException:
            await super().__aexit__(None, None, None)
            raise
        self._ledger.opened()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._ledger.closed()
        await super().__aexit__(exc_type, exc, tb)

    def describe(self) -> Mapping[str, str]:
        """Return facts for the status."""
        facts = {"sync": self.config.sync, **super().describe()}
        told = [each["words"] for each in self.settings()["warnings"]] if self._ledger.is_open else []
        warnings = ". ".join([*told, *filter(None, [facts.get("warnings")])])
        return facts | ({"warnings": warnings} if warnings else {})

    # Who speaks: see `gateway.model.Chorus`.

    def learn(self, batch: Sequence[Arrived]) -> None:
        """Know who said what where, and who is muted, before what was said is received."""
        self._concord.learn(arrived.event for arrived in batch)
        for arrived in batch:
            if not self._chorus.learn(arrived.event.box, arrived.event.body):
                entry = entry_in(arrived)
                if isinstance(entry, SaidEntry):
                    self._ledger.beginnings.learn(arrived.event.box, entry)

    def serve(self, common_names: frozenset[str]) -> None:
        """Tell the other boxes which conversations this one serves."""
        self._chorus.serve(common_names)

    def turn(
        self,
        utterance: Utterance,
        *,
        waited_s: float,
        turn_s: float,
        at_home: bool = False,
        amends: MessageId | None = None,
        overheard_s: float | None = None,
    ) -> Speak | Listen | Said:
        """Say whose turn it is."""
        return self._chorus.turn(
            utterance, waited_s=waited_s, turn_s=turn_s, at_home=at_home, amends=amends, overheard_s=overheard_s
        )

    async def emitting(self, utterance: Utterance, as_native: NativeId | None) -> None:
        """Note that this box is about to say it."""
        await self._chorus.emitting(utterance, as_native)

    async def emitted(self, utterance: Utterance, as_native: NativeId | None) -> None:
        """Note that it is there."""
        await self._chorus.emitted(utterance, as_native)

    def echoed(self, as_native: NativeId) -> Utterance | None:
        """Return what was said under this id."""
        return self._chorus.echoed(as_native)

    def vouches(self, as_native: NativeId) -> bool:
        """Whether a box that belongs says that something was said under this id."""
        return self._chorus.vouches(as_native)

    def called(self, native_id: NativeId) -> Collection[NativeId]:
        """Return under which ids a message was said."""
        return self._chorus.called(native_id)

    def is_speaking(self, where: str) -> bool:
        """Whether another box is at it just now."""
        return self._chorus.is_speaking(where)

    # What boxes decide together: see `gateway.model.Community`.

    def shares(self, matter: Matter, about: str) -> bool:
        """Whether this is for all boxes to decide."""
        return self._concord.shares(matter, about)

    def verdict(self, matter: Matter, about: str) -> Verdict | None:
        """Return the latest of the boxes that belong, ours with them."""
        return self._concord.verdict(matter, about)

    def verdicts(self) -> Sequence[Verdict]:
        """Return all of those."""
        return self._concord.verdicts()

    async def declare(self, verdict: Verdict) -> None:
        """Tell all boxes, durably."""
        await self._concord.declare(verdict, self._diary.catch_up)

    def fades(self, matter: Matter, about: str) -> bool:
        """Whether the log will soon forget ours."""
        return self._concord.fades(matter, about)

    # Who belongs: see `gateway.model.Adjustable`.

    def settings(self) -> Mapping[str, Any]:
        """Return who belongs, and how it is with each."""
        return self._asked().settings()

    def alterations(self, wanted: Mapping[str, str]) -> Sequence[Alteration]:
        """Return what would change."""
        return self._asked().alterations(wanted)

    async def adjust(self, wanted: Mapping[str, str]) -> Sequence[Alteration]:
        """Let a box in, join others, put one out."""
        return await self._asked().adjust(wanted)

    def _asked(self) -> Administration:
        if not self._ledger.is_open:
            raise Declined("this box is starting, or can't read its log: `crossband status` says which")
        return self._administration

    async def _recall(self) -> None:
        """Learn of all that others, and this box before, said where, and of all that is decided of people."""
        self._concord.learn(arrived.event for arrived in await self.mesh.named_from(VERDICT))
        last = await self.mesh.last_arrival()
        after = max(0, last - RECALLED)
        while batch := await self.mesh.news(after, AT_ONCE):
            self.learn(batch)
            after = batch[-1].arrival


def settings_of(config: LanConfig, box: str) -> MeshSettings:
    """Return what the mesh is told of the table."""
    return MeshSettings(
        name=box,
        sync=config.sync,
        peers=config.peers,
        discover=config.discover,
        interfaces=config.interfaces,
        retention_s=float(config.retention_s),
    )
