# SPDX-License-Identifier: GPL-3.0-or-later
"""For how long a bridge that holds everything back is left alone, and what it is shown."""

import pytest

from gateway.choosing import AGAIN_S, LONGEST_HOLD_S, LOOK_AT, POLL_S, Choosing
from gateway.clock import ManualClock
from gateway.fresh import Fresh
from gateway.journal import Standing
from gateway.link import Link, LinkState
from gateway.model import (
    Address,
    Airtime,
    BridgeName,
    Delivery,
    Go,
    Hold,
    Lane,
    Message,
    NativeId,
    Refuse,
    Sender,
    SenderId,
    State,
    Text,
)
from gateway.outbox.memory import MemoryOutbox
from gateway.outbox.outbox import Retry

RADIO = BridgeName("radio")


class Chooser:
    def __init__(self):
        self.answer = Hold(for_s=3600, reason="busy")
        self.shown = []

    def choose(self, waiting):
        self.shown.append([one.delivery.to.conversation for one in waiting])
        return self.answer

    def airtime(self):
        return Airtime(used_ms=0, allowed_ms=1000, window_s=3600, held="it says so itself")

    def drain_s(self, cost_ms):
        return 0.0


class Known:
    """A journal that knows this of every delivery it is asked about."""

    def __init__(self, state=State.QUEUED):
        self.state = state

    async def standings(self, ids):
        to = Address(RADIO, "?")
        return {one: Standing(to=to, state=self.state, remote_id=None, generation=0) for one in ids}


def delivery(number, conversation, lane=Lane.NORMAL):
    message = Message(
        native_id=NativeId(f"test:{number}"),
        origin=Address(BridgeName("home"), "#town"),
        sender=Sender(id=SenderId("@ali:example.org"), name="Ali"),
        content=Text(body="hello"),
        received_ms=ManualClock().now_ms() - 1000 + number,
        lane=lane,
    )
    return Delivery(message=message, to=Address(RADIO, conversation))


class Desk:
    def __init__(self, *, shared=False, known=None):
        self.clock, self.outbox, self.bridge, self.link = ManualClock(), MemoryOutbox(), Chooser(), Link(0)
        self.link.set(LinkState.UP, "", 0)
        self.choosing = Choosing(
            RADIO,
            self.bridge,
            self.link,
            self.outbox,
            known or Known(),
            clock=self.clock,
            fresh=Fresh(),
            visible_ms=1000,
            shared=shared,
        )
        self.puts = 0

    async def put(self, *deliveries):
        self.puts += len(deliveries)
        await self.outbox.put(RADIO, "box", after=self.puts - len(deliveries), upto=self.puts, deliveries=deliveries)
        return await self.outbox.acquire(RADIO, "one", now_ms=self.clock.now_ms(), ttl_ms=1_000_000)

    async def rest_s(self, fence):
        claimed, rest_s = await self.choosing.claim(fence)
        assert claimed.leases == ()
        return rest_s


@pytest.mark.parametrize(
    ("for_s", "rest_s"),
    [(3600, LONGEST_HOLD_S), (2.5, 2.5), (0, AGAIN_S), (-1, AGAIN_S), (float("nan"), LONGEST_HOLD_S)],
)
async def test_a_hold_lasts_as_long_as_was_said_within_limits(for_s, rest_s):
    desk = Desk()
    fence = await desk.put(delivery(1, "town"))
    desk.bridge.answer = Hold(for_s=for_s, reason="busy")
    assert await desk.rest_s(fence) == rest_s
    assert desk.choosing.held == "busy"


async def test_on_a_shared_queue_a_hold_is_looked_at_again_each_second():
    desk = Desk(shared=True)
    assert await desk.rest_s(await desk.put(delivery(1, "town"))) == POLL_S


async def test_a_hold_ends_when_another_conversation_becomes_due():
    desk = Desk()
    fence = await desk.put(delivery(1, "town"), delivery(2, "hill"))
    desk.bridge.answer = Go(id=delivery(1, "town").id)
    claimed, rest_s = await desk.choosing.claim(fence)
    assert rest_s == 0
    now_ms = desk.clock.now_ms()
    await desk.outbox.settle(fence, [Retry(id=claimed.leases[0].id, at_ms=now_ms + 1500)], now_ms=now_ms)
    desk.bridge.answer = Hold(for_s=3600, reason="busy")
    assert await desk.rest_s(fence) == 1.5
    assert desk.bridge.shown[-1] == ["hill"]


async def test_where_not_all_could_be_shown_the_others_are_soon():
    desk = Desk()
    fence = await desk.put(*(delivery(n, f"room {n:03}") for n in range(LOOK_AT + 40)))
    shown = set()
    for _ in range(2):
        assert await desk.rest_s(fence) == POLL_S
        shown.update(desk.bridge.shown[-1])
    assert len(desk.bridge.shown[-1]) == LOOK_AT
    assert len(shown) == LOOK_AT + 40


async def test_nothing_is_asked_where_nothing_waits_or_the_link_is_down():
    desk = Desk()
    assert await desk.rest_s(await desk.put()) == POLL_S
    fence = await desk.put(delivery(1, "town"))
    desk.link.set(LinkState.DOWN, "unplugged", 0)
    assert await desk.rest_s(fence) == POLL_S
    assert desk.bridge.shown == []


async def test_held_time_counts_while_it_rests_and_no_longer_than_it_meant_to():
    desk = Desk()
    fence = await desk.put(delivery(1, "town"))
    await desk.rest_s(fence)
    desk.clock.advance(4)
    assert desk.choosing.look().held_for_s == 4
    await desk.rest_s(fence)
    desk.clock.advance(3600)  # the link was down, say
    desk.bridge.answer = Go(id=delivery(1, "town").id)
    await desk.choosing.claim(fence)
    look = desk.choosing.look()
    assert (look.held_s, look.held_for_s, look.airtime.held) == (4 + LONGEST_HOLD_S, None, "")


async def test_the_log_says_once_what_is_held_for_long_and_nothing_of_a_pause(capsys):
    desk = Desk()
    fence = await desk.put(one := delivery(1, "town"))
    hold, go = desk.bridge.answer, Go(id=one.id)
    for rests in (2, 5):
        desk.bridge.answer = hold
        for _ in range(rests):
            await desk.rest_s(fence)
            desk.clock.advance(LONGEST_HOLD_S)
        desk.bridge.answer = go
        claimed, _ = await desk.choosing.claim(fence)
        now_ms = desk.clock.now_ms()
        await desk.outbox.settle(fence, [Retry(id=claimed.leases[0].id, at_ms=now_ms)], now_ms=now_ms)
    said = [line.split()[4] for line in capsys.readouterr().out.splitlines()]
    assert said == ["sending_held", "sending_goes_on"]


async def test_why_one_is_refused_is_known_until_it_is_settled():
    desk = Desk()
    fence = await desk.put(one := delivery(1, "town"))
    desk.bridge.answer = Refuse(id=one.id, reason="no guests")
    claimed, _ = await desk.choosing.claim(fence)
    assert [lease.id for lease in claimed.leases] == [one.id]
    assert desk.choosing.refusal(one.id) == "no guests"
    desk.choosing.end([one.id])
    assert desk.choosing.refusal(one.id) is None


async def test_a_refusal_is_forgotten_where_its_lease_was_lost_and_the_bridge_would_send_it_by_then():
    desk = Desk()
    fence = await desk.put(one := delivery(1, "town"))
    desk.bridge.answer = Refuse(id=one.id, reason="no guests")
    await desk.choosing.claim(fence)
    fence = await desk.put()  # acquired anew
    desk.bridge.answer = Go(id=one.id)
    await desk.choosing.claim(fence)
    assert desk.choosing.refusal(one.id) is None


async def test_what_is_over_is_leased_without_asking():
    desk = Desk(known=Known(State.CANCELLED))
    fence = await desk.put(one := delivery(1, "town"))
    claimed, _ = await desk.choosing.claim(fence)
    assert ([lease.id for lease in claimed.leases], desk.bridge.shown) == ([one.id], [])
