# SPDX-License-Identifier: GPL-3.0-or-later
"""The people at the far radios, from outside the simulator: they talk, and all that they hear is written down."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bridges.sim.control import SOCKET, RemoteMesh
from bridges.sim.timeline import Timeline

TEXT_PORT = 1
"""TEXT_MESSAGE_APP"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A text that came out of a radio."""

    node: str
    """Whose radio."""
    sender: int
    id: int
    text: str
    reply_id: int
    direct: bool


class Airwaves:
    """A connection to a simulated mesh in its own process: `say` at one node, `heard` at every node."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / SOCKET
        self.heard: Timeline[Heard] = Timeline()
        self.nodes: dict[str, int] = {}
        """Numbers by long name; the gateway's own node is the first."""
        self._orders = RemoteMesh(self._socket)
        self._one_at_a_time = asyncio.Lock()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._orders)
            ears = await stack.enter_async_context(RemoteMesh(self._socket))
            self.nodes = {node["long_name"]: node["number"] for node in await self.call("nodes")}
            listening = asyncio.create_task(self._listen(ears), name="listen to the radios")
            stack.push_async_callback(_end, listening)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def gateway(self) -> int:
        """The number of the gateway's own node."""
        return next(iter(self.nodes.values()))

    async def call(self, do: str, **arguments: Any) -> Any:
        """Give any order of `bridges.sim.orders`; RefusedError, ConnectionError."""
        async with self._one_at_a_time:
            return await self._orders.call(do, **arguments)

    async def say(self, node: str, text: str, *, reply_to: int = 0, to: str | int | None = None) -> int:
        """Have somebody at `node` say something to all, or to one; return the packet id."""
        to_whom = {} if to is None else {"to": to}
        return int(await self.call("say", node=node, text=text, reply_id=reply_to, **to_whom))

    async def unplug(self) -> None:
        """Pull the gateway's radio out."""
        await self.call("unplug")

    async def plug(self) -> None:
        """Put it back."""
        await self.call("plug")

    async def wait_text(self, text: str, *, node: str | None = None, timeout_s: float = 30.0) -> Heard:
        """Return the first packet, heard already or soon (at `node`), with exactly this text; TimeoutError."""
        return await self.heard.wait_for(lambda heard: heard.text == text and node in (None, heard.node), timeout_s)

    async def _listen(self, ears: RemoteMesh) -> None:
        async for event in ears.watch():
            if event["portnum"] == TEXT_PORT:
                self.heard.add(
                    Heard(
                        node=event["node"],
                        sender=event["sender"],
                        id=event["id"],
                        text=event["text"],
                        reply_id=event["reply_id"],
                        direct=event["direct"],
                    )
                )


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
