# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of a Redis Cluster for keys that are all in one slot: it finds the node that has it, and follows it.

All keys of a community carry one hash tag, so at any time one node has them all. Any node says which
(MOVED); a slot that is on its way to another is asked there (ASK).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import AskError, ConnectionError, MovedError, TimeoutError  # noqa: A004 - theirs are meant

HOPS: Final = 5
"""As often an answer may name another node; more is a Cluster at odds with itself."""
MOST_NODES: Final = 32
_OF_THE_NODE: Final = frozenset({"INFO", "TIME"})
"""Commands without a key: whatever node is asked answers, so it must be the right one."""

Node = tuple[str, int]


class OneSlot:
    """Speaks to the node that has `key`. One that doesn't answer gives way to the next that is known."""

    def __init__(self, seeds: Sequence[Node], *, key: str, connect: Callable[[str, int], Redis]) -> None:
        self._nodes = list(seeds)
        """Known ones; the first is spoken to."""
        self._key = key
        self._connect = connect
        self._client: Redis | None = None

    async def execute_command(self, *command: Any) -> Any:
        """Say one command to the node that has the slot. Raises what redis-py does, MOVED after five hops."""
        if command[0] in _OF_THE_NODE:
            await self._follow("EXISTS", self._key)
        return await self._follow(*command)

    async def aclose(self) -> None:
        """Close all connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _follow(self, *command: Any) -> Any:
        for _ in range(HOPS):
            client = self._spoken_to()
            try:
                return await client.execute_command(*command)  # type: ignore[no-untyped-call]  # theirs is untyped
            except MovedError as moved:
                await self._leave(client, (moved.host, moved.port))
            except AskError as ask:
                return await self._ask((ask.host, ask.port), command)
            except (ConnectionError, TimeoutError):
                await self._leave(client, None)
                raise
            finally:
                await self._let_go(client)
        raise ConnectionError(f"sent from node to node {HOPS} times")

    def _spoken_to(self) -> Redis:
        if self._client is None:
            self._client = self._connect(*self._nodes[0])
        return self._client

    async def _leave(self, client: Redis, to: Node | None) -> None:
        """Speak to that node from now on, or to the next one known: then the one that failed comes last."""
        if client is not self._client:
            return  # somebody else has done so meanwhile
        left, *others = self._nodes
        if to is None:
            self._nodes = [*others, left]
        else:
            self._nodes = [to, *(one for one in self._nodes if one != to)][:MOST_NODES]
        await self.aclose()

    async def _let_go(self, client: Redis) -> None:
        """Close what we used of a client that was left meanwhile: it may have been connecting as that was closed."""
        if client is not self._client:
            await client.connection_pool.disconnect(inuse_connections=False)

    async def _ask(self, node: Node, command: Sequence[Any]) -> Any:
        client = self._connect(*node)
        try:
            async with client.pipeline(transaction=False) as pipeline:
                pipeline.execute_command("ASKING")
                pipeline.execute_command(*command)
                return (await pipeline.execute())[1]
        finally:
            await client.aclose()
