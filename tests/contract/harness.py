# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sentences about every bridge need of one kind: the bridge, and people and faults at its far side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol, Self

from gateway.model import Address, Bridge, LinkDown, Message, RemoteId, Report, ResumePoint, Text

PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One thing the bridge said, as people at the far side see it; the sender's name is taken off."""

    id: RemoteId
    body: str
    reply_to: RemoteId | None = None


class Harness(Protocol):
    """One kind of bridge and its network, both in a test's hands."""

    @property
    def place(self) -> Address:
        """The conversation the far side's people are in."""
        ...

    @property
    def nowhere(self) -> Address:
        """A conversation, well spelled, that isn't there."""
        ...

    def bridge(self, *, resume: ResumePoint | None = None) -> Bridge:
        """Build a bridge as the core would after a start: each has the same configuration and state."""
        ...

    async def say(self, body: str, *, reply_to: RemoteId | None = None) -> RemoteId:
        """Have somebody at the far side say it; return once the bridge, if it listened, could have it."""
        ...

    async def shown(self) -> list[Shown]:
        """Return all that the bridge's side said in `place`, in order."""
        ...

    async def cut(self) -> None:
        """Lose the link as bluntly as it can be lost."""
        ...

    async def mend(self) -> None:
        """Make it possible to connect again."""
        ...

    def mute(self) -> None:
        """Let what the bridge says arrive, and nothing come back."""
        ...

    def confuse(self) -> None:
        """Let what answers, from the next time somebody connects, not be what it should be."""
        ...

    def unmute(self) -> None:
        """End `mute` or `confuse`: let things come back; what was held may be late or gone."""
        ...

    async def wait_visited(self) -> None:
        """Wait until somebody is connected."""
        ...


class Reader:
    """A task that takes all a bridge yields, as the core's supervisor does."""

    def __init__(self, bridge: Bridge) -> None:
        self.items: list[Message | Report] = []
        self.failure: LinkDown | None = None
        self._bridge = bridge
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        (ended,) = await asyncio.gather(self._task, return_exceptions=True)
        assert ended is None or isinstance(ended, asyncio.CancelledError), f"receiving ended with {ended!r}"

    async def _read(self) -> None:
        try:
            async with aclosing(self._bridge.receive()) as source:
                async for item in source:
                    self.items.append(item)
                    self._news.set()
        except LinkDown as error:
            self.failure = error
        finally:
            self._news.set()

    @property
    def messages(self) -> list[Message]:
        return [item for item in self.items if isinstance(item, Message)]

    @property
    def reports(self) -> list[Report]:
        return [item for item in self.items if isinstance(item, Report)]

    @property
    def bodies(self) -> list[str]:
        return bodies(self.messages)

    async def until(self, holds: Callable[[Self], Any], timeout_s: float = 15.0) -> None:
        """Wait until something holds of what was read; fail if the reading ends before."""
        assert self._task is not None
        async with asyncio.timeout(timeout_s):
            while not holds(self):
                assert not self._task.done(), f"receiving ended: {self.failure or self._task!r}"
                self._news.clear()
                await self._news.wait()


def bodies(messages: list[Message]) -> list[str]:
    return [message.content.body for message in messages if isinstance(message.content, Text)]
