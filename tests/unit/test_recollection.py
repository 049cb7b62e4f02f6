# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from gateway.clock import ManualClock
from gateway.journal import Standing
from gateway.model import (
    Address,
    BridgeName,
    Delivery,
    LinkDown,
    Message,
    NativeId,
    Receipt,
    RemoteId,
    Sender,
    SenderId,
    State,
    Text,
)
from gateway.recollection import Recollection

ROOM = Address(BridgeName("home"), "#town")
RECEIPT = Receipt(remote_id=RemoteId("$there"))


class Plain:
    name = ROOM.bridge


class Forgetful(Plain):
    def __init__(self, since_ms):
        self.since_ms = since_ms
        self.asked = []
        self.answer = RECEIPT

    def remembers_since_ms(self):
        return self.since_ms

    async def recall(self, to, *, key, since_ms):
        self.asked.append((to, key, since_ms))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def delivery(number=1):
    sender = Sender(id=SenderId("!a1b2c301"), name="Bea")
    origin = Address(BridgeName("radio"), "LongFast")
    said = Message(
        native_id=NativeId(f"mt:1:{number}"), origin=origin, sender=sender, content=Text(body="hi"), received_ms=7
    )
    return Delivery(message=said, to=ROOM)


def standing(tried_ms, state=State.QUEUED):
    return Standing(to=ROOM, state=state, remote_id=None, generation=0, tried_ms=tried_ms)


def recollection(bridge, tried_ms):
    made = Recollection(bridge, ManualClock(1_000_000))
    made.learn([delivery().id], {delivery().id: standing(tried_ms)})
    return made


@pytest.mark.parametrize(
    ("tried_ms", "is_asked"),
    [(500_000, False), (999_999, False), (499_999, True), (1, True), (1_000_001, True)],
    ids=["just remembered", "now", "just forgotten", "long ago", "by a clock that was set since"],
)
async def test_a_repeat_is_asked_for_where_its_key_may_be_forgotten(tried_ms, is_asked):
    bridge = Forgetful(500_000)
    found = await recollection(bridge, tried_ms).recall(delivery(), "k.0")
    assert (found, bridge.asked) == ((RECEIPT, [(ROOM, "k.0", tried_ms)]) if is_asked else (None, []))


async def test_who_cannot_be_asked_now_is_asked_again():
    bridge = Forgetful(500_000)
    bridge.answer = LinkDown("away")
    made = recollection(bridge, 1)
    with pytest.raises(LinkDown):
        await made.recall(delivery(), "k.0")
    bridge.answer = None
    assert await made.recall(delivery(), "k.0") is None
    assert len(bridge.asked) == 2


@pytest.mark.parametrize("is_ours", [True, False], ids=["ours, not noted", "another gateway's"])
async def test_what_may_have_gone_out_unnoted_is_asked_for_until_the_first_that_is_not_there(is_ours):
    bridge = Forgetful(500_000)
    made = Recollection(bridge, ManualClock(1_000_000))
    some = [delivery(number) for number in range(4)]
    made.learn([one.id for one in some], {one.id: standing(None) for one in some if is_ours})
    found = [await made.recall(some[0], "k0.0")]
    bridge.answer = None
    found += [await made.recall(one, f"k{number}.0") for number, one in enumerate(some[1:], 1)]
    assert found == [RECEIPT, None, None, None]
    assert bridge.asked == [(ROOM, "k0.0", 7), (ROOM, "k1.0", 7)]


async def test_what_was_accepted_since_the_network_remembers_is_not_asked_for():
    bridge = Forgetful(5)
    assert await recollection(bridge, None).recall(delivery(), "k.0") is None
    assert await Recollection(Forgetful(500_000), ManualClock()).recall(delivery(), "k.0") is None
    assert bridge.asked == []


async def test_what_is_settled_and_what_another_gateway_has_now_is_forgotten():
    bridge = Forgetful(500_000)
    made = recollection(bridge, 1)
    made.forget([delivery().id])
    assert await made.recall(delivery(), "k.0") is None
    made.learn([delivery().id], {delivery().id: standing(1)})
    made.forget_all()
    assert await made.recall(delivery(), "k.0") is None
    made.learn([delivery().id], {delivery().id: standing(1, state=State.SENT)})
    assert await made.recall(delivery(), "k.0") is None
    assert bridge.asked == []


async def test_a_bridge_that_never_forgets_is_not_asked():
    assert await recollection(Plain(), 1).recall(delivery(), "k.0") is None
