# SPDX-License-Identifier: GPL-3.0-or-later
"""bridges.meshtastic.answering: what is answered where, what isn't, and that each silence is counted."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from meshtastic.protobuf.mesh_pb2 import MeshPacket

from bridges.meshtastic.answering import GOOD_FOR_S, MOST_WAITING, Answering
from bridges.meshtastic.choices import Question
from gateway.clock import ManualClock
from gateway.model import (
    Address,
    BridgeContext,
    BridgeError,
    BridgeName,
    Level,
    LinkDown,
    Message,
    NativeId,
    NotThere,
    RateLimited,
    Sender,
    SenderId,
    Text,
    TransientError,
    Unconfirmed,
)

RADIO = BridgeName("radio")
LONG_FAST = Address(RADIO, "LongFast")
LINK: Any = None


class Desk:
    """Questions to a gateway whose radio takes what it says, or refuses it."""

    def __init__(self, *, refusals: list[Exception] | None = None, held: str = "") -> None:
        self.clock = ManualClock(0)
        self.refusals = refusals or []
        self.said: list[str] = []
        self.counts: Counter[str] = Counter()
        self.number = 0
        context = BridgeContext(
            name=RADIO,
            table={},
            state_dir=Path(),
            clock=self.clock,
            random=random.Random(1),
            level_of=lambda _: Level.READ,
        )
        self.answering = Answering(
            frozenset(Question),
            context=context,
            nodes=lambda: (),
            own=lambda: "!00000000",
            cost_s=lambda: 0.01,
            held=lambda: held,
            say=self._say,
            count=lambda kind: self.counts.update([kind]),
        )

    async def _say(self, link: object, asked: Message, to: Address, words: str) -> None:
        del link, asked
        if self.refusals:
            raise self.refusals.pop(0)
        self.said.append(f"{to.conversation}: {words}")

    def ask(self, body: str = "!ping", *, node: int = 1, direct: bool = False, is_replay: bool = False) -> bool:
        self.number += 1
        sender = SenderId(f"!{node:08x}")
        message = Message(
            native_id=NativeId(f"mt:{node:08x}:{self.number:08x}"),
            origin=Address(RADIO, sender) if direct else LONG_FAST,
            sender=Sender(id=sender, name="Ridge"),
            content=Text(body=body),
            received_ms=0,
            direct=direct,
        )
        return self.answering.take(message, MeshPacket(), is_replay=is_replay)

    async def answered(self) -> list[str]:
        task = asyncio.create_task(self.answering.answer(LINK))
        for _ in range(50):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return self.said


async def test_an_answer_goes_to_the_asker_alone() -> None:
    desk = Desk()
    assert desk.ask()
    assert not desk.ask("ping")
    assert await desk.answered() == ["!00000001: pong: heard you"]
    assert desk.counts == {"question_answered": 1}


@pytest.mark.parametrize("refusal", [TransientError("our radio does not know that node's key yet"), NotThere("no")])
async def test_who_cannot_be_written_to_in_private_is_answered_where_they_asked(refusal: BridgeError) -> None:
    desk = Desk(refusals=[refusal])
    desk.ask()
    assert await desk.answered() == ["LongFast: pong: heard you"]


@pytest.mark.parametrize("refusal", [LinkDown("x"), RateLimited("x"), Unconfirmed("x")])
async def test_a_radio_that_is_busy_or_gone_is_not_tried_a_second_time(refusal: BridgeError) -> None:
    desk = Desk(refusals=[refusal])
    desk.ask()
    assert await desk.answered() == []
    assert desk.counts == {"question_answer_failed": 1}


async def test_what_was_asked_in_private_is_never_answered_before_all() -> None:
    desk = Desk(refusals=[TransientError("no key")])
    desk.ask(direct=True)
    assert await desk.answered() == []
    assert desk.counts == {"question_answer_failed": 1}


async def test_after_a_failure_the_next_question_is_answered() -> None:
    desk = Desk(refusals=[LinkDown("x")])
    desk.ask()
    desk.ask(node=2)
    assert await desk.answered() == ["!00000002: pong: heard you"]


async def test_a_question_that_strikes_a_defect_ends_no_link_and_the_next_is_answered() -> None:
    desk = Desk(refusals=[RuntimeError("a defect")])
    desk.ask()
    desk.ask(node=2)
    assert await desk.answered() == ["!00000002: pong: heard you"]
    assert desk.counts == {"question_defect": 1, "question_answered": 1}


async def test_while_nothing_may_go_out_no_question_is_answered_later_either() -> None:
    desk = Desk(held="the channel is busy: 31 %")
    assert desk.ask()
    assert await desk.answered() == []
    assert desk.counts == {"question_held": 1}


async def test_what_waited_for_a_link_too_long_is_not_answered_any_more() -> None:
    desk = Desk()
    desk.ask()
    desk.clock.advance(GOOD_FOR_S + 1)
    desk.ask(node=2)
    assert await desk.answered() == ["!00000002: pong: heard you"]
    assert desk.counts == {"question_too_late": 1, "question_answered": 1}


async def test_more_questions_than_may_wait_are_not_answered() -> None:
    desk = Desk()
    assert all(desk.ask(node=number) for number in range(1, MOST_WAITING + 3))
    assert desk.counts == {"question_too_many": 2}
    assert len(await desk.answered()) == MOST_WAITING


async def test_a_replayed_question_is_neither_answered_nor_carried() -> None:
    desk = Desk()
    assert desk.ask("!ping (said earlier)", is_replay=True)
    assert not desk.ask("hello (said earlier)", is_replay=True)
    assert await desk.answered() == []
    assert desk.counts == {"question_again": 1}
