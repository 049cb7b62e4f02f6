# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers boxes that call to compare logs."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from bridges.lan.event import BoxId, Malformed, box_id, box_of
from bridges.lan.exchange import Exchange
from bridges.lan.held import Held
from bridges.lan.server import Answer, Asked
from bridges.lan.wire import Offer
from gateway.model import Clock, LinkDown


class Answering:
    """Takes what a box offers, and offers what it lacks.

    `called` is told of every member that calls: who, from which host, and on which port it listens itself.
    """

    def __init__(self, held: Held, exchange: Exchange, clock: Clock, called: Callable[[BoxId, str, int], None]) -> None:
        self._held = held
        self._exchange = exchange
        self._clock = clock
        self._called = called

    async def __call__(self, asked: Asked) -> Answer:
        """Answer."""
        box = box_id(asked.key)
        if box == box_of(self._held.state.feed):  # a clone, or we ourselves: whoever asked sees it by the key
            return Answer(body=await self._exchange.written(self._exchange.hello()))
        if (refusal := self._refusal(box, asked)) is not None:
            return refusal
        try:
            offer = await self._exchange.read(asked.body)
            await self._exchange.take(self._exchange.peer(box), offer)
        except Malformed:
            self._exchange.misbehaved(box, {"request_malformed": 1})
            return Answer(status=HTTPStatus.BAD_REQUEST)
        except LinkDown:
            self._exchange.unwritable()
            return Answer(status=HTTPStatus.SERVICE_UNAVAILABLE)
        self._called(box, asked.host, offer.port)
        return await self._answer(box, offer)

    def _refusal(self, box: BoxId, asked: Asked) -> Answer | None:
        if not self._held.state.roll.is_member(box):
            return Answer(status=HTTPStatus.FORBIDDEN)
        if shut_s := self._exchange.conduct.shut_out_s(box, self._clock.monotonic()):
            return Answer(status=HTTPStatus.TOO_MANY_REQUESTS, retry_after_s=shut_s)
        if wait_s := self._exchange.asking.wait_s(box, self._clock.monotonic()):
            self._exchange.misbehaved(box, {"request_too_often": 1})
            return Answer(status=HTTPStatus.TOO_MANY_REQUESTS, retry_after_s=wait_s)
        if asked.is_oversized:
            self._exchange.misbehaved(box, {"request_oversized": 1})
            return Answer(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return None

    async def _answer(self, box: BoxId, offer: Offer) -> Answer:
        if not self._held.state.roll.is_member(box):  # it was put out by what it brought
            return Answer(status=HTTPStatus.FORBIDDEN)
        answer = await self._exchange.offer(self._exchange.peer(box), is_asked=offer.frontier is not None)
        return Answer(body=await self._exchange.written(answer))
