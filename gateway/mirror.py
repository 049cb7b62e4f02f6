# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows one bridge's people what became of what they said, as fast as the bridge lets it and no faster."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from gateway.link import Link
from gateway.model import (
    Address,
    BridgeError,
    BridgeName,
    Clock,
    MessageId,
    NotThere,
    Progress,
    Reflects,
    TransientError,
)

log = structlog.get_logger()

MOST_KEPT = 4096
"""Messages of which news waits to be shown; past it the oldest is dropped."""
MOST_AT_ONCE = 256
REFLECT_WITHIN_S = 60.0
AGAIN_S = 2.0
"""The shortest pause of a conversation after a failure."""


class Mirror:
    """The latest progress of messages that came from one bridge, until it is shown."""

    def __init__(
        self,
        name: BridgeName,
        bridge: Reflects,
        link: Link,
        clock: Clock,
        count: Callable[[BridgeName, str], None],
    ) -> None:
        self._name = name
        self._bridge = bridge
        self._link = link
        self._clock = clock
        self._count = count
        self._kept: OrderedDict[MessageId, Progress] = OrderedDict()
        self._paused: dict[Address, float] = {}
        self._woken = asyncio.Event()

    def add(self, progress: Progress) -> None:
        """Show this soon, instead of what was to be shown of the same message."""
        self._kept[progress.message_id] = progress
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
            self._count(self._name, "progress_not_shown")
        self._woken.set()

    async def run(self) -> None:
        """Show for ever, whenever the bridge is connected."""
        while True:
            await self._link.wait_up()
            news = self._next()
            if news:
                await self._show(news)
            else:
                await self._rest()

    def _next(self) -> Sequence[Progress]:
        """Return the news of the conversation that has waited longest and isn't paused, in the order it was said."""
        now_s = self._clock.monotonic()
        self._paused = {at: until_s for at, until_s in self._paused.items() if until_s > now_s}
        at = next((progress.at for progress in self._kept.values() if progress.at not in self._paused), None)
        mine = [progress for progress in self._kept.values() if progress.at == at]
        return sorted(mine[:MOST_AT_ONCE], key=lambda progress: progress.seq)

    async def _show(self, news: Sequence[Progress]) -> None:
        try:
            async with asyncio.timeout(REFLECT_WITHIN_S):
                await self._bridge.reflect(news)
        except NotThere as error:
            self._drop(news, error)  # we are not in the room, so nobody is told there
        except (TransientError, TimeoutError) as error:
            asked_s = (error.retry_after_s or 0.0) if isinstance(error, TransientError) else 0.0
            self._paused[news[0].at] = self._clock.monotonic() + max(AGAIN_S, asked_s)
            log.debug("progress_postponed", bridge=self._name, reason=str(error))
        except BridgeError as error:
            self._drop(news, error)
        except Exception:
            # Nobody's message hangs on this; a defect here must not end the gateway.
            log.exception("bridge_defect", bridge=self._name)
            self._drop(news, None)
        else:
            self._done(news)

    def _drop(self, news: Sequence[Progress], error: BridgeError | None) -> None:
        if error is not None:
            log.info("progress_not_shown", bridge=self._name, messages=len(news), reason=str(error))
        for _ in news:
            self._count(self._name, "progress_not_shown")
        self._done(news)

    def _done(self, news: Sequence[Progress]) -> None:
        for progress in news:
            if self._kept.get(progress.message_id) is progress:  # else there is newer
                del self._kept[progress.message_id]

    async def _rest(self) -> None:
        """Wait for news, or until a conversation's pause is over."""
        self._woken.clear()
        wait_s = min(self._paused.values()) - self._clock.monotonic() if self._paused else None
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._woken.wait()
