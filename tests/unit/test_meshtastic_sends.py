# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from meshtastic.protobuf.mesh_pb2 import Routing

from bridges.meshtastic.places import BROADCAST
from bridges.meshtastic.refusals import of_routing, of_status
from bridges.meshtastic.sends import Sends, Verdict
from gateway.model import Certainty, NotThere, RateLimited, Rejected, TransientError

OWN, FAR, OTHER = 1, 2, 3


def judged(sends: Sends, error: int, sender: int = OWN) -> Verdict | None:
    return sends.judge(request=7, error=error, sender=sender, own=OWN)


def outcome(node: int, error: int, sender: int = OWN) -> object:
    sends = Sends()
    sends.begin(7, "k.0", node)
    verdict = judged(sends, error, sender)
    return verdict.outcome if verdict else None


def test_an_implicit_acknowledgement_is_heard_and_never_delivered():
    assert outcome(BROADCAST, Routing.NONE) is Certainty.HEARD
    assert outcome(FAR, Routing.NONE) is Certainty.HEARD


def test_only_the_destination_says_delivered():
    assert outcome(FAR, Routing.NONE, sender=FAR) is Certainty.DELIVERED
    assert outcome(FAR, Routing.NONE, sender=OTHER) is None
    assert outcome(BROADCAST, Routing.NONE, sender=OTHER) is None


def test_a_stranger_can_refuse_nothing():
    assert outcome(FAR, Routing.MAX_RETRANSMIT, sender=OTHER) is None
    assert outcome(BROADCAST, Routing.NO_CHANNEL, sender=OTHER) is None


def test_nobody_hearing_is_a_failure_of_a_direct_message_only():
    direct = outcome(FAR, Routing.MAX_RETRANSMIT)
    assert isinstance(direct, TransientError)
    assert direct.fresh_key
    assert outcome(BROADCAST, Routing.MAX_RETRANSMIT) is Certainty.SENT


def test_delivered_is_never_taken_back():
    sends = Sends()
    sends.begin(7, "k.0", FAR)
    judged(sends, Routing.NONE, sender=FAR)

    assert judged(sends, Routing.NONE) is None
    assert judged(sends, Routing.MAX_RETRANSMIT) is None


def test_a_heard_broadcast_stays_heard():
    sends = Sends()
    sends.begin(7, "k.0", BROADCAST)
    judged(sends, Routing.NONE)

    assert judged(sends, Routing.MAX_RETRANSMIT) is None


def test_a_second_try_is_the_same_send():
    sends = Sends()
    first = sends.begin(7, "k.0", BROADCAST)

    assert sends.begin(7, "k.0", BROADCAST) is first
    assert sends.begin(7, "other.0", BROADCAST) is not first


def test_a_refusal_is_kept_and_nothing_said_later_counts():
    """Its id is used up: the node would pass over it, which must not be taken for a yes."""
    sends = Sends()
    sends.begin(7, "k.0", BROADCAST)
    judged(sends, Routing.RATE_LIMIT_EXCEEDED)

    assert isinstance(sends.begin(7, "k.0", BROADCAST).refusal, RateLimited)
    assert judged(sends, Routing.NONE) is None
    assert sends.begin(7, "k.0", BROADCAST).known is None


@pytest.mark.parametrize(
    ("error", "refused", "known"),
    [
        (Routing.RATE_LIMIT_EXCEEDED, RateLimited, None),
        (Routing.NONE, type(None), Certainty.HEARD),
        (Routing.MAX_RETRANSMIT, type(None), Certainty.SENT),
    ],
)
def test_what_our_node_says_of_a_send_from_before_a_restart_counts_when_it_is_tried_again(error, refused, known):
    sends = Sends()
    judged(sends, error)
    judged(sends, Routing.NO_CHANNEL, sender=OTHER)
    send = sends.begin(7, "k.0", BROADCAST)

    assert type(send.refusal) is refused
    assert send.known is known


def test_of_what_was_said_of_unknown_sends_the_oldest_is_forgotten():
    sends = Sends(limit=3)
    for number in range(5):
        sends.judge(request=number, error=Routing.NO_CHANNEL, sender=OWN, own=OWN)

    assert [number for number in range(5) if sends.begin(number, "k.0", BROADCAST).refusal] == [2, 3, 4]


def test_the_oldest_are_forgotten():
    sends = Sends(limit=3)
    for number in range(5):
        sends.begin(number, f"k{number}.0", BROADCAST)

    assert [number for number in range(5) if sends.get(number)] == [2, 3, 4]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Routing.RATE_LIMIT_EXCEEDED, RateLimited),
        (Routing.DUTY_CYCLE_LIMIT, RateLimited),
        (Routing.NO_CHANNEL, NotThere),
        (Routing.TOO_LARGE, Rejected),
        (Routing.PKI_SEND_FAIL_PUBLIC_KEY, TransientError),
        (Routing.PKI_UNKNOWN_PUBKEY, TransientError),
        (Routing.BAD_REQUEST, TransientError),
        (499, TransientError),
    ],
)
def test_a_refusal_is_an_error_of_its_kind_with_a_reason(error: int, kind: type[Exception]):
    refusal = of_routing(error)
    assert type(refusal) is kind
    assert str(refusal)
    assert isinstance(refusal, Rejected) or refusal.fresh_key


@pytest.mark.parametrize(
    ("res", "kind"),
    [
        (32, RateLimited),
        (33, RateLimited),
        (34, RateLimited),
        (6, NotThere),
        (7, Rejected),
        (9, RateLimited),
        (99, TransientError),
    ],
)
def test_a_status_other_than_ok_is_a_refusal_and_uses_the_id_up(res: int, kind: type[Exception]):
    """The node notes an id before it looks for room in its queue, so the same one would be ignored."""
    refusal = of_status(res)
    assert type(refusal) is kind
    assert isinstance(refusal, Rejected) or refusal.fresh_key


@pytest.mark.parametrize("res", [0, 35])
def test_a_status_of_ok_is_none(res: int):
    assert of_status(res) is None


@pytest.mark.parametrize(
    "refusal",
    [of_routing(Routing.DUTY_CYCLE_LIMIT), of_routing(Routing.RATE_LIMIT_EXCEEDED), of_status(32), of_status(34)],
)
def test_the_patience_a_radio_asks_for_is_meant_for_all_that_goes_there(refusal):
    assert isinstance(refusal, RateLimited)
    assert refusal.for_all
    assert refusal.retry_after_s
