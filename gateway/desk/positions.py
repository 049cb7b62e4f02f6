# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking somebody out there where they are: that takes a minute, and nobody may wait so long at the desk."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from gateway.ages import in_words
from gateway.model import Address, Clock, Declined

PATIENCE_S = 8.0
"""How long one answer waits for the network's: a bridge takes nothing else in meanwhile."""
FRESH_S = 180.0
"""For so long what was answered is told again, and nobody asked: a node says nothing to who asks again so soon."""


class Running(Protocol):
    """The running gateway, as far as it is asked here."""

    @property
    def clock(self) -> Clock:
        """The gateway's own."""
        ...

    async def where_is(self, there: Address) -> str:
        """Ask them, which takes a minute; Declined with the reason."""
        ...


@dataclass(slots=True, kw_only=True)
class Question:
    """One that went out, and what came back."""

    asking: asyncio.Task[None] | None = None
    answer: str = field(default="", repr=False)
    declined: str = ""
    """Why there is no answer."""
    at: float = 0.0
    """When that was known, by the clock that only grows."""

    @property
    def is_over(self) -> bool:
        """Whether it is known what came back."""
        return bool(self.answer or self.declined)


class Positions:
    """Who is being asked, and what was answered lately. Kept in memory only; no more than bridges ask for."""

    def __init__(self) -> None:
        self._questions: dict[Address, Question] = {}

    async def of(self, there: Address, running: Running) -> str:
        """Return where they are, or that they are being asked; Declined, with the reason, once nothing comes of it."""
        now = running.clock.monotonic()
        self._questions = {to: one for to, one in self._questions.items() if not one.is_over or now - one.at < FRESH_S}
        question = self._questions.get(there)
        if question is None:
            question = self._questions[there] = Question()
            question.asking = asyncio.create_task(self._ask(question, there, running), name=f"position {there}")
            await _a_while(question.asking, running)
        if not question.is_over:
            return f"{there} is being asked; that may take a minute. For the answer say the same again then"
        return self._told(question, there, running)

    def _told(self, question: Question, there: Address, running: Running) -> str:
        if question.declined:
            self._questions.pop(there, None)
            raise Declined(question.declined)
        age_s = running.clock.monotonic() - question.at
        return question.answer + (f" (answered {in_words(age_s)} ago)" if age_s >= PATIENCE_S else "")

    @staticmethod
    async def _ask(question: Question, there: Address, running: Running) -> None:
        try:
            question.answer = await running.where_is(there)
        except Declined as declined:
            question.declined = str(declined)
        finally:
            question.at = running.clock.monotonic()
            if not question.is_over:  # a defect, or the gateway stops
                question.declined = f"{there} can't be asked"


async def _a_while(asking: asyncio.Task[None], running: Running) -> None:
    pause = asyncio.create_task(running.clock.sleep(PATIENCE_S), name="patience for a position")
    try:
        await asyncio.wait({asking, pause}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        pause.cancel()
