# SPDX-License-Identifier: GPL-3.0-or-later
"""The one thread that reads, on a connection of its own: a query never waits for a commit."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from gateway.journal.database import in_words
from gateway.model import JournalError

T = TypeVar("T")

MOST_AT_ONCE: Final = 64
"""Questions answered with one call to the loop."""


@dataclass(slots=True)
class _Question:
    ask: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    answer: Any = None


class Reader:
    """Asks the database. Whatever was committed before a question is in its answer."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Question | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="journal reader", daemon=True)
        self._thread.start()

    async def ask(self, ask: Callable[[sqlite3.Connection], T]) -> T:
        """Return what `ask` finds on the reading connection; JournalError if it can't be read."""
        if self._closed:
            raise JournalError("the journal is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Question(ask, future))
        return await future

    def stop(self) -> None:
        """Answer what was asked, then close the connection. Later questions raise JournalError."""
        self._closed = True
        self._queue.put(None)

    async def stopped(self) -> None:
        """Wait for that."""
        await asyncio.to_thread(self._thread.join)

    def _told(self, answered: Sequence[_Question]) -> None:
        for question in answered:
            if question.future.done():  # whoever asked was cancelled
                continue
            if isinstance(question.answer, JournalError):
                question.future.set_exception(question.answer)
            else:
                question.future.set_result(question.answer)

    # From here on: the reader's thread.

    def _run(self) -> None:
        more = True
        while more:
            questions, more = self._gather()
            for question in questions:
                question.answer = self._answer(question)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._told, questions)
        self._connection.close()

    def _gather(self) -> tuple[list[_Question], bool]:
        """Wait for the first, take what else is there. False: that was all, for good."""
        questions: list[_Question] = []
        question = self._queue.get()
        while question is not None:
            questions.append(question)
            if len(questions) >= MOST_AT_ONCE:
                return questions, True
            try:
                question = self._queue.get_nowait()
            except Empty:
                return questions, True
        return questions, False

    def _answer(self, question: _Question) -> Any:
        try:
            return question.ask(self._connection)
        except JournalError as error:
            return error
        except sqlite3.Error as error:
            return JournalError(in_words(error))
        except Exception as error:  # noqa: BLE001 - whoever asked must be answered
            return JournalError(f"the journal can't be read: {error}")
