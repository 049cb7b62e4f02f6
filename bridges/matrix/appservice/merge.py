# SPDX-License-Identifier: GPL-3.0-or-later
"""Several sources as one, of which each is asked for the next item only when its last one was taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from typing import TypeVar

T = TypeVar("T")


async def merged(*sources: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """Yield what any source yields, as it comes; in order within each. The first error of any ends it.

    Asking for the next one says that the last was taken: only then its source goes on.
    """
    asked: dict[asyncio.Task[T], AsyncGenerator[T]] = {}
    async with AsyncExitStack() as closing:
        for source in sources:
            await closing.enter_async_context(aclosing(source))
        try:
            for source in sources:
                asked[_ask(source)] = source
            while asked:
                done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    source = asked.pop(task)
                    if isinstance(task.exception(), StopAsyncIteration):
                        continue
                    yield task.result()
                    asked[_ask(source)] = source
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)


def _ask(source: AsyncGenerator[T]) -> asyncio.Task[T]:
    return asyncio.create_task(_next(source), name="next item of a source")


async def _next(source: AsyncGenerator[T]) -> T:
    return await anext(source)
