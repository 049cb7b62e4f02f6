# SPDX-License-Identifier: GPL-3.0-or-later
"""The bridge to a `FarNetwork`, in the gateway's process: thin, so that it is the core that is tried.

`breaks` breaks a promise on purpose now and then: the storm must see it, or it sees nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator
from typing import Any, Self

from gateway.model import (
    Address,
    BridgeContext,
    BridgeKind,
    Capabilities,
    LinkDown,
    Message,
    NativeId,
    RateLimited,
    Receipt,
    RemoteId,
    ResumePoint,
    Sender,
    SenderId,
    Support,
    Text,
    Unconfirmed,
)

ANSWER_WITHIN_S = 2.0
BROKEN_EVERY = 97
LINE_BYTES = 64 * 1024


class LineBridge:
    """Two connections: one is told what people say, one sends."""

    def __init__(self, context: BridgeContext) -> None:
        self.name = context.name
        self.capabilities = Capabilities(
            room_for=lambda *_: 1000, names=Support.NATIVE, in_flight=8, reconnect_within_s=1.0
        )
        self._context = context
        self._path = str(context.table["socket"])
        self._breaks = str(context.table.get("breaks", ""))
        self._at = int(context.resume or 0)
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._writers: list[asyncio.StreamWriter] = []
        self._listening: asyncio.Task[None] | None = None
        self._said: asyncio.StreamReader | None = None
        self._held: dict[str, tuple[Message, str]] = {}

    async def __aenter__(self) -> Self:
        try:
            self._said = await self._open({"resume": self._at})
            answers = await self._open({"sends": True})
        except OSError as error:
            self._close()
            raise LinkDown(f"the network isn't there: {error}") from error
        self._listening = asyncio.create_task(self._listen(answers))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])

    async def receive(self) -> AsyncGenerator[Message]:
        assert self._said is not None
        while line := await self._line(self._said):
            said = json.loads(line)
            yield self._message(said)
            self._at = said["at"] + 1
        raise LinkDown("the network hung up")

    async def send(self, message: Message, to: Address, *, key: str) -> Receipt:
        assert isinstance(message.content, Text)
        number = next(self._ids)
        if number % BROKEN_EVERY == 0 and self._breaks:
            return await self._break(message, to, key)
        receipt = await self._send(number, message, to, key)
        if held := self._held.pop(to.conversation, None):
            await self._send(next(self._ids), held[0], to, held[1])
        return receipt

    async def _break(self, message: Message, to: Address, key: str) -> Receipt:
        match self._breaks:
            case "lose":
                return Receipt(remote_id=RemoteId("nowhere"))
            case "swap":
                self._held[to.conversation] = (message, key)
                return Receipt(remote_id=RemoteId("later"))
            case _:
                await self._send(next(self._ids), message, to, f"{key}~")
                return await self._send(next(self._ids), message, to, key)

    async def _send(self, number: int, message: Message, to: Address, key: str) -> Receipt:
        if not self._writers:
            raise LinkDown("the network isn't there")
        said = {"id": number, "key": key, "to": to.conversation, "body": message.content.body}
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                self._writers[-1].write(json.dumps(said).encode() + b"\n")
                await self._writers[-1].drain()
                answered = await answer
        except TimeoutError as late:
            raise Unconfirmed("the network did not answer") from late
        except OSError as error:
            raise LinkDown(f"the network hung up: {error}") from error
        finally:
            self._answers.pop(number, None)
        if "error" in answered:
            raise RateLimited("the network is busy", retry_after_s=0.2)
        return Receipt(remote_id=RemoteId(answered["remote"]))

    async def _open(self, hello: dict[str, Any]) -> asyncio.StreamReader:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=LINE_BYTES)
        self._writers.append(writer)
        writer.write(json.dumps(hello).encode() + b"\n")
        return reader

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readline()
        except OSError:
            return b""

    async def _listen(self, answers: asyncio.StreamReader) -> None:
        try:
            while line := await self._line(answers):
                answer = json.loads(line)
                waiting = self._answers.get(answer["id"])
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
        finally:
            self._close()

    def _close(self) -> None:
        writers, self._writers = self._writers, []
        for writer in writers:
            writer.transport.abort()
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(LinkDown("the network hung up"))

    def _message(self, said: dict[str, Any]) -> Message:
        return Message(
            native_id=NativeId(f"line:{said['body'].split()[0]}"),
            origin=Address(self.name, said["conversation"]),
            sender=Sender(id=SenderId("someone"), name="someone"),
            content=Text(body=said["body"]),
            received_ms=self._context.clock.now_ms(),
            remote_id=RemoteId(f"{self.name}-said-{said['at']}"),
            resume=ResumePoint(str(said["at"] + 1)),
        )


def kind() -> BridgeKind:
    """Return what the registry wants."""
    return BridgeKind(create=LineBridge, check=lambda _: frozenset())
