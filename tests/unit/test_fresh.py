# SPDX-License-Identifier: GPL-3.0-or-later
"""What was queued a moment ago need not be looked up, until something touched it."""

from gateway.fresh import MOST, MOST_CHARACTERS, Fresh
from gateway.model import Address, Delivery, Message, NativeId, Sender, SenderId, Text
from gateway.outbox.outbox import Lease

ROOM = Address.parse("home/#town:example.org")


def delivery(n, body="hello"):
    message = Message(
        native_id=NativeId(f"mt:{n}"),
        origin=Address.parse("radio/LongFast"),
        sender=Sender(id=SenderId("!a1b2c301"), name="Ali"),
        content=Text(body=body),
        received_ms=1,
    )
    return Delivery(message=message, to=ROOM)


def leases(*deliveries, attempt=1):
    return [Lease(id=one.id, delivery=one, attempt=attempt, generation=0, until_ms=9) for one in deliveries]


def test_what_was_queued_a_moment_ago_is_not_looked_up_but_only_once():
    fresh, one, two = Fresh(), delivery(1), delivery(2)
    fresh.add([one])

    assert fresh.unknown(leases(one, two)) == [two.id]
    assert fresh.unknown(leases(one)) == [one.id]


def test_what_was_tried_or_touched_is_looked_up():
    fresh, one, two = Fresh(), delivery(1), delivery(2)
    fresh.add([one, two])
    fresh.forget([two.id])

    assert fresh.unknown(leases(one, attempt=2)) == [one.id]
    assert fresh.unknown(leases(two)) == [two.id]
    assert not fresh.at_hand


def test_a_long_text_is_known_but_not_kept():
    fresh, short, long = Fresh(), delivery(1), delivery(2, "x" * (MOST_CHARACTERS + 1))
    fresh.add([short, long])

    assert list(fresh.at_hand) == [short.id]
    assert fresh.unknown(leases(short, long)) == []


def test_past_the_limit_everything_is_looked_up():
    fresh, one = Fresh(), delivery("one")
    fresh.add([delivery(n) for n in range(MOST)])
    fresh.add([one])

    assert list(fresh.at_hand) == [one.id]
    assert fresh.unknown(leases(delivery(0))) == [delivery(0).id]
