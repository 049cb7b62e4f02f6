# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway put together as `crossband run` does it, on a real journal and the memory outbox; nothing of it runs."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway.assembly import Assembly, Parts
from gateway.clock import ManualClock
from gateway.config import load
from gateway.journal import Journal, Retention
from gateway.metrics import Metrics
from gateway.model import BridgeContext, BridgeKind, Capabilities, Clock
from gateway.operations import Operations
from gateway.outbox.memory import MemoryOutbox
from gateway.registry import Registry
from gateway.status import EventHub, JournalStatus, QueueStatus, StoreState
from gateway.tally import Tally


class Quiet:
    """A bridge that does nothing, and keeps what it was given."""

    def __init__(self, context: BridgeContext) -> None:
        self.context = context
        self.name = context.name
        self.capabilities = Capabilities(room_for=lambda *_: 200)


def quiet(*, in_clear: bool = False) -> BridgeKind:
    """Return the kind of such bridges."""
    return BridgeKind(create=Quiet, check=lambda _: frozenset(), in_clear=in_clear)  # type: ignore[arg-type]  # a bridge as far as nothing runs


class Well:
    """The stores' states."""

    journal = JournalStatus(state=StoreState.UP)
    queue = QueueStatus(state=StoreState.UP)


@dataclass
class Core:
    """What was put together."""

    assembly: Assembly
    parts: Parts

    def operations(self) -> Operations:
        """Return what the API asks."""
        return Operations(
            settings=self.assembly.settings,
            parts=self.parts,
            journal=self.assembly.journal,
            outbox=self.assembly.outbox,
            clock=self.assembly.clock,
            events=EventHub(),
            tally=self.assembly.tally,
            metrics=Metrics(),
            health=Well(),  # type: ignore[arg-type]  # all that is asked of it
        )


@asynccontextmanager
async def assembled(
    folder: Path, config: str, kinds: Mapping[str, BridgeKind], clock: Clock | None = None
) -> AsyncIterator[Core]:
    """Put a gateway together by this configuration, in this folder: again and again, on the same journal."""
    registry = Registry({name: partial(_same, kind) for name, kind in kinds.items()})
    (folder / "crossband.toml").write_text(config)
    settings = load(folder / "crossband.toml", {}, registry=registry)
    settings.gateway.data_dir.mkdir(exist_ok=True)
    clock = clock or ManualClock()
    async with Journal(settings.gateway.data_dir / "journal.db", clock=clock, retention=Retention()) as journal:
        assembly = Assembly(
            settings=settings,
            registry=registry,
            journal=journal,
            outbox=MemoryOutbox(),
            clock=clock,
            random=random.Random(1),
            tally=Tally(EventHub(), Metrics()),
        )
        yield Core(assembly, await assembly.build())


def _same(kind: BridgeKind) -> BridgeKind:
    return kind
