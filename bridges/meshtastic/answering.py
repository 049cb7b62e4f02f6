# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers questions to the gateway on the air, sparingly; a question that isn't answered costs no airtime."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

import structlog
from meshtastic.protobuf.mesh_pb2 import MeshPacket

from bridges.meshtastic.choices import Question
from bridges.meshtastic.convert import SAID_EARLIER
from bridges.meshtastic.link import Link
from bridges.meshtastic.questions import AnswerBudget, Questions, fitting, pong, question, who_is_there
from gateway.model import (
    Address,
    Asked,
    BridgeContext,
    BridgeError,
    Declined,
    Level,
    LinkDown,
    Message,
    Node,
    RateLimited,
    Text,
    Unconfirmed,
)

log = structlog.get_logger()

MOST_WAITING = 4
"""Questions; with more than that the air is not where to answer them."""
GOOD_FOR_S = 120.0
"""After so long without a link nobody waits for the answer any more."""

Say = Callable[[Link, Message, Address, str], Awaitable[None]]
"""``say(link, question, to, words)``: one packet in reply; BridgeError if it doesn't leave."""


@dataclass(frozen=True, slots=True)
class _Asked:
    what: Question
    message: Message
    packet: MeshPacket
    at: float


class Answering:
    """Kept across connections. Everything it doesn't answer is counted by why."""

    def __init__(
        self,
        answered: Collection[Question],
        *,
        context: BridgeContext,
        nodes: Callable[[], Collection[Node]],
        own: Callable[[], str],
        cost_s: Callable[[], float],
        held: Callable[[], str],
        say: Say,
        count: Callable[[str], None],
    ) -> None:
        """`own`: our node's id. `cost_s`: the airtime of an answer. `held`: why nothing goes out now; else empty."""
        self._answered = answered
        self._context = context
        self._nodes = nodes
        self._own = own
        self._cost_s = cost_s
        self._held = held
        self._say = say
        self._count = count
        self._questions = Questions()
        self._budget = AnswerBudget()
        self._waiting: asyncio.Queue[_Asked] = asyncio.Queue(MOST_WAITING)

    def take(self, message: Message, packet: MeshPacket, *, is_replay: bool) -> bool:
        """Tell whether a message is a question to the gateway: then it goes nowhere else, answered or not."""
        what = question(_body(message), self._answered)
        if what is None:
            return False
        now = self._context.clock.monotonic()
        if why_not := self._why_not(message, packet, now, is_replay=is_replay):
            self._count(f"question_{why_not}")
        else:
            self._waiting.put_nowait(_Asked(what, message, packet, now))
        return True

    def _why_not(self, message: Message, packet: MeshPacket, now: float, *, is_replay: bool) -> str:
        if packet.via_mqtt:
            return "over_mqtt"  # the internet must not make us transmit; the same may still be heard on the air
        if is_replay or not self._questions.is_new(message.native_id):
            return "again"
        if self._context.level_of(message.sender.id) < Level.READ:
            return "declined"
        if self._held():
            return "held"
        if self._waiting.full():
            return "too_many"
        return "" if self._budget.take(message.sender.id, now, cost_s=self._cost_s()) else "too_often"

    async def answer(self, link: Link) -> None:
        """Answer what was asked, one after the other, for as long as the link lasts."""
        while True:
            asked = await self._waiting.get()
            if self._context.clock.monotonic() - asked.at > GOOD_FOR_S:
                self._count("question_too_late")
                continue
            try:
                await self._tell(link, asked.message, fitting(await self._words(asked)))
                self._count("question_answered")
            except Declined:
                self._count("question_declined")
            except BridgeError:
                self._count("question_answer_failed")
            except Exception:  # a defect at the desk must not be a way to take the radio down with a word
                self._count("question_defect")
                log.exception("question_defect", bridge=self._context.name, question=asked.what)

    async def _tell(self, link: Link, asked: Message, words: str) -> None:
        """Answer in private: that isn't said by every relay to everybody, and shows to the asker alone.

        A node whose key isn't known can't be written to so: it is answered where it asked.
        """
        alone = Address(self._context.name, asked.sender.id)
        try:
            await self._say(link, asked, alone, words)
        except (LinkDown, RateLimited, Unconfirmed):
            raise
        except BridgeError:
            if asked.direct:
                raise
            await self._say(link, asked, asked.origin, words)

    async def _words(self, asked: _Asked) -> str:
        match asked.what:
            case Question.PING:
                return pong(asked.packet)
            case Question.NODES:
                return who_is_there(self._nodes(), own=self._own(), now_ms=self._context.clock.now_ms())
            case Question.GW:
                message = asked.message
                return await self._context.desk.answer(
                    Asked(
                        sender=message.sender.id,
                        words="brief",
                        at=message.origin,
                        private=message.direct,
                        id=message.native_id,
                    )
                )


def _body(message: Message) -> str:
    return message.content.body.removesuffix(SAID_EARLIER) if isinstance(message.content, Text) else ""
