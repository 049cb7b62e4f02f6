# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a store that may be away until it answers: what is known must be told, however long that takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from gateway.model import Clock, GatewayError, LeaseLost

T = TypeVar("T")


async def until_answered(
    ask: Callable[[], Awaitable[T]],
    *,
    away: type[GatewayError] | tuple[type[GatewayError], ...],
    clock: Clock,
    pauses: Iterator[float],
    postponed: Callable[[GatewayError], None],
) -> T:
    """Return the first answer; between two tries there is one of the pauses.

    `away`: the errors that say that there is none yet; `postponed` is told of each. LeaseLost always ends it.
    """
    while True:
        try:
            return await ask()
        except LeaseLost:
            raise
        except away as error:
            postponed(error)
            await clock.sleep(next(pauses))
