# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps up with every box that can be reached: at once when there is something new, else every few seconds."""

from __future__ import annotations

import asyncio
import random

from bridges.lan.addresses import Place, Places, Source, address_of, is_literal
from bridges.lan.caller import Caller, HungUp
from bridges.lan.event import BoxId, Malformed, box_id, box_of
from bridges.lan.exchange import Exchange
from bridges.lan.held import Held
from bridges.lan.peer import Peer
from bridges.lan.tls import Contexts
from bridges.lan.wire import Offer
from gateway.model import BridgeError, Clock, ProtocolError, RateLimited

SYNC = "/sync"
EVERY_S = 4.0
SLOWEST_S = 10.0
"""Between many boxes; a third of the silence after which a box is taken for gone."""
A_SECOND = 2
"""Calls, in all: with more boxes each is called less often. What is new goes at once, however many they are."""
HOPEFUL = 5
"""So many failures until a place is left to its pauses, even while its box calls us."""
SPARE_S = 15.0
"""How often a place is looked at whose box answers at another."""
MOST_ROUNDS = 1000
"""Of one meeting: more than a million events have."""
MOST_IDLE = 2
"""So many rounds by which neither box gets anything new; then what differs is nothing the other takes."""
MOST_PAGES = 10
"""As many while statements are told, for what is known may come first: each page has up to 500 of up to 4,096."""


class Links:
    """One task for each place where a box may be."""

    def __init__(
        self, held: Held, exchange: Exchange, places: Places, *, contexts: Contexts, clock: Clock, chance: random.Random
    ) -> None:
        self._held = held
        self._exchange = exchange
        self._places = places
        self._contexts = contexts
        self._clock = clock
        self._chance = chance
        self._caller = Caller()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wakes: dict[str, asyncio.Event] = {}
        exchange.watch(self._wake_all)

    async def open(self) -> None:
        """Begin with the places that are known."""
        await self._caller.__aenter__()
        for place in self._places:
            self._begin(place)
        self._exchange.watch(self.learn_told)

    async def close(self) -> None:
        """End all."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        await self._caller.__aexit__(None, None, None)

    def learn(self, address: str, source: Source, box: BoxId | None = None) -> None:
        """Try a place, too, if it is new."""
        if (place := self._places.learn(address, source, box)) is not None:
            self._begin(place)

    def learn_told(self) -> None:
        """Try the places where boxes say they are."""
        for box, seen in self._exchange.presence.seen(self._clock.monotonic()).items():
            for address in filter(is_literal, seen.detail.addresses):
                self.learn(address, Source.TOLD, box)

    def called(self, box: BoxId, host: str, port: int) -> None:
        """A box called us, and listens on that port: it can be reached again, so try it now where it could not."""
        if port:
            self.learn(address_of(host, port), Source.CALLER, box)
        for place in self._places.of(box):
            if place.failures and (wake := self._wakes.get(place.address)):
                wake.set()

    async def meet(self, place: Place) -> BoxId:
        """Talk until both have the same, or nothing the other can take; return who it was."""
        peer = None if place.box in {None, box_of(self._held.state.feed)} else self._exchange.peer(place.box)
        progress = Progress()
        for _ in range(MOST_ROUNDS):
            offer = self._exchange.hello() if peer is None else await self._exchange.offer(peer)
            answered = await self._caller.post(
                place.address, SYNC, await self._exchange.written(offer), self._contexts.client
            )
            box = box_id(answered.key)
            if not self._held.state.roll.is_member(box):
                raise ProtocolError(f"{place.address} is no box of this community")
            place.answered(box)
            if box == box_of(self._held.state.feed):
                return box
            is_new = peer is None or peer.box != box
            peer = self._exchange.peer(box)
            if await self._is_done(peer, answered.body, offer, progress) and not is_new:
                break
        return place.box or BoxId("")

    async def _is_done(self, peer: Peer, body: bytes, said: Offer, progress: Progress) -> bool:
        """Take an answer; return whether there is no more to say."""
        before = peer.counts["event_too_fast"]
        try:
            answer = await self._exchange.read(body)
            is_more = await self._exchange.take(peer, answer)
        except Malformed:
            self._exchange.misbehaved(peer.box, {"request_malformed": 1})
            return True
        peer.counts["exchanges"] += 1
        mine = self._exchange.mine(peer)
        if peer.is_equal(mine) or peer.is_settled(mine, self._clock.monotonic()):
            return not self._exchange.has_news_for(peer)
        is_paging = bool(said.statements or answer.statements)
        is_over = progress.is_over((*peer.compared(mine), *peer.counted(mine)), is_paging=is_paging)
        has_more = said.events or said.statements or said.frontier is None or is_more
        if is_over or (not has_more and not self._may_send(peer)):
            if peer.counts["event_too_fast"] == before:
                peer.settle(mine, self._clock.monotonic())
            return True
        return False

    def _may_send(self, peer: Peer) -> bool:
        return peer.is_known and self._exchange.has_news_for(peer)

    def _begin(self, place: Place) -> None:
        self._wakes[place.address] = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._keep(place), name=f"lan {place.address}")
        self._tasks[place.address] = task
        task.add_done_callback(lambda _: self._end(place))

    def _end(self, place: Place) -> None:
        self._tasks.pop(place.address, None)
        self._wakes.pop(place.address, None)

    async def _keep(self, place: Place) -> None:
        while True:
            pause_s = SPARE_S
            if not self._places.is_spare(place):
                pause_s = await self._try(place)
            if pause_s < 0:
                return
            await self._pause(place, pause_s)

    async def _try(self, place: Place) -> float:
        """Meet who is there; return how long to leave it be, less than 0: for good."""
        if place.box is not None and (shut_s := self._exchange.conduct.shut_out_s(place.box, self._clock.monotonic())):
            return shut_s
        if (left_s := self._rest_s(place)) > 0:
            return left_s
        try:
            box = await self.meet(place)
        except RateLimited as error:
            place.failed(str(error))
            return error.retry_after_s or EVERY_S
        except BridgeError as error:
            place.failed(str(error), hung_up=isinstance(error, HungUp))
            return -1.0 if self._places.give_up(place) else place.pause_s(self._chance.random())
        if box == box_of(self._held.state.feed):
            self._places.forget(place)
            return -1.0
        return self._every_s() * (0.75 + self._chance.random() / 2)

    def _every_s(self) -> float:
        """Return how often to call each box while there is nothing new."""
        up = len({place.box for place in self._places if place.is_up})
        return min(SLOWEST_S, max(EVERY_S, up / A_SECOND))

    def _rest_s(self, place: Place) -> float:
        """Return how long a box needs no call because it called us; one call is enough for both."""
        if place.box is None or not place.is_up:
            return 0.0
        peer, now_s = self._exchange.peer(place.box), self._clock.monotonic()
        silent_s, every_s = now_s - peer.heard_s, self._every_s()
        mine = self._exchange.mine(peer)
        is_quiet = peer.is_equal(mine) or peer.is_settled(mine, now_s)
        if not is_quiet or self._exchange.is_due(peer) or silent_s >= every_s * 0.75:
            return 0.0
        return every_s * (0.75 + self._chance.random() / 2) - silent_s

    async def _pause(self, place: Place, pause_s: float) -> None:
        """Wait, but not longer than until there is something new for the box that is there."""
        wake = self._wakes[place.address]
        until_s = self._clock.monotonic() + pause_s
        while (left_s := until_s - self._clock.monotonic()) > 0:
            if not await _came(wake, left_s):
                return
            wake.clear()
            if self._is_due(place):
                return

    def _is_due(self, place: Place) -> bool:
        if place.failures:
            return (
                place.failures < HOPEFUL
                and place.box is not None
                and self._exchange.peer(place.box).is_live(self._clock.monotonic())
            )
        return place.is_up and place.box is not None and self._exchange.is_due(self._exchange.peer(place.box))

    def _wake_all(self) -> None:
        for wake in self._wakes.values():
            wake.set()


class Progress:
    """Of one meeting: whether it still gets anywhere. Forks, and what either refuses, could be told for ever."""

    def __init__(self) -> None:
        self._last: tuple[object, ...] = ()
        self._idle = 0

    def is_over(self, compared: tuple[object, ...], *, is_paging: bool) -> bool:
        """Take how the two compare after a round; return whether the last rounds changed nothing."""
        self._idle = self._idle + 1 if compared == self._last else 0
        self._last = compared
        return self._idle > (MOST_PAGES if is_paging else MOST_IDLE)


async def _came(event: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
