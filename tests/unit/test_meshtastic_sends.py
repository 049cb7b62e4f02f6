# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from meshtastic.protobuf.mesh_pb2 import Routing

from bridges.meshtastic.places import BROADCAST
from bridges.meshtastic.refusals import NoKey, of_routing, of_status
from bridges.meshtastic.sends import Send, Sends, Verdict
from gateway.model import Certainty, NotThere, RateLimited, Receipt, Rejected, RemoteId, TransientError

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


@pytest.mark.parametrize("error", [Routing.NO_ROUTE, Routing.GOT_NAK, Routing.TIMEOUT, Routing.MAX_RETRANSMIT])
def test_a_broadcast_that_was_on_the_air_is_never_sent_again(error: int):
    assert outcome(BROADCAST, error) is Certainty.SENT


@pytest.mark.parametrize("error", [number for number in Routing.Error.values() if number])
def test_a_broadcast_that_was_heard_is_refused_by_nothing(error: int):
    sends = Sends()
    sends.begin(7, "k.0", BROADCAST)
    judged(sends, Routing.NONE)

    assert judged(sends, error) is None


def test_delivered_is_never_taken_back():
    sends = Sends()
    sends.begin(7, "k.0", FAR)
    judged(sends, Routing.NONE, sender=FAR)

    assert judged(sends, Routing.NONE) is None
    assert judged(sends, Routing.MAX_RETRANSMIT) is None


def test_an_acknowledgement_that_our_node_no_longer_waited_for_counts_all_the_same():
    sends = Sends()
    sends.begin(7, "k.0", FAR)
    judged(sends, Routing.MAX_RETRANSMIT)
    late = judged(sends, Routing.NONE, sender=FAR)

    assert late is not None
    assert late.outcome is Certainty.DELIVERED
    assert sends.begin(7, "k.0", FAR).refusal is None
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


NAMED = {name: number for name, number in Routing.Error.items() if number != Routing.NONE}
OURS = {
    "NO_ROUTE": (TransientError, "acknowledge"),
    "GOT_NAK": (TransientError, "acknowledge"),
    "TIMEOUT": (TransientError, "acknowledge"),
    "NO_INTERFACE": (RateLimited, "LoRa part"),
    "MAX_RETRANSMIT": (TransientError, "acknowledge"),
    "NO_CHANNEL": (NotThere, "no such channel"),
    "TOO_LARGE": (Rejected, "too large"),
    "NO_RESPONSE": (Rejected, "nothing there"),
    "DUTY_CYCLE_LIMIT": (RateLimited, "duty cycle"),
    "BAD_REQUEST": (Rejected, "malformed"),
    "NOT_AUTHORIZED": (Rejected, "administrator"),
    "PKI_FAILED": (Rejected, "new key"),
    "PKI_UNKNOWN_PUBKEY": (NoKey, "does not know our radio's key"),
    "ADMIN_BAD_SESSION_KEY": (Rejected, "administrator"),
    "ADMIN_PUBLIC_KEY_UNAUTHORIZED": (Rejected, "administrator"),
    "RATE_LIMIT_EXCEEDED": (RateLimited, "one text in 2 s"),
    "PKI_SEND_FAIL_PUBLIC_KEY": (NoKey, "does not know that node's key"),
}
THEIRS = {
    "MAX_RETRANSMIT": (TransientError, "acknowledge"),
    "NO_CHANNEL": (Rejected, "could not read it"),
    "NO_RESPONSE": (Rejected, "nothing there"),
    "PKI_FAILED": (Rejected, "could not read it"),
    "PKI_UNKNOWN_PUBKEY": (NoKey, "does not know our radio's key"),
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("sender", [OWN, FAR])
def test_each_error_of_the_protobufs_means_what_whoever_says_it_can_know(name: str, sender: int):
    kind, words = (OURS if sender == OWN else THEIRS).get(name, (TransientError, f"that node refused it ({name})"))
    refusal = outcome(FAR, NAMED[name], sender=sender)

    assert type(refusal) is kind
    assert words in str(refusal)
    assert isinstance(refusal, Rejected) or refusal.fresh_key


def test_our_own_table_leaves_out_no_error_there_is():
    assert OURS.keys() == NAMED.keys()


@pytest.mark.parametrize("name", NAMED)
def test_nothing_that_a_far_node_says_holds_up_what_is_bound_for_others(name: str):
    assert not isinstance(outcome(FAR, NAMED[name], sender=FAR), RateLimited)


@pytest.mark.parametrize(("is_own", "who"), [(True, "the mesh"), (False, "that node")])
def test_an_error_of_newer_firmware_is_told_by_its_number_and_tried_again(is_own: bool, who: str):
    refusal = of_routing(499, is_own=is_own)

    assert type(refusal) is TransientError
    assert refusal.fresh_key
    assert str(refusal) == f"{who} refused it (499)"


def test_an_acknowledgement_that_came_before_the_send_was_known_again_counts():
    """Killed between the radio's yes and its record, the gateway sends it again, which must not show twice."""
    sends = Sends()
    judged(sends, Routing.NONE, sender=FAR)
    judged(sends, Routing.NONE, sender=OTHER)

    assert sends.begin(7, "k.0", FAR).known is Certainty.DELIVERED


def test_what_strangers_say_of_unknown_sends_displaces_nothing_that_our_node_said():
    sends = Sends(limit=3)
    judged(sends, Routing.RATE_LIMIT_EXCEEDED)
    for number in range(100, 200):
        sends.judge(request=number, error=Routing.NONE, sender=OTHER, own=OWN)

    assert sends.begin(7, "k.0", FAR).refusal is not None


def taken(sends: Sends, id: int, *, node: int = BROADCAST, at: float = 0.0) -> Send:
    send = sends.begin(id, f"k{id}.0", node)
    send.known = Certainty.SENT
    sends.settle(send, Receipt(remote_id=RemoteId(str(id))), at)
    return send


def test_after_a_restart_of_the_radio_only_what_it_may_have_lost_is_sent_again():
    sends = Sends()
    taken(sends, 1, at=10.0)  # too long ago: nodes may have forgotten its id, and show it twice
    heard, unrelayed, refused = (taken(sends, number, at=200.0) for number in (2, 3, 4))
    for send, error in ((heard, Routing.NONE), (unrelayed, Routing.MAX_RETRANSMIT), (refused, Routing.NO_CHANNEL)):
        sends.judge(request=send.id, error=error, sender=OWN, own=OWN)
    taken(sends, 5, at=200.0)
    sends.begin(6, "k6.0", BROADCAST)  # nobody was told that this one went

    assert [send.id for send in sends.take_back(100.0)] == [5]
    assert sends.begin(5, "k5.0", BROADCAST).receipt is None


def test_no_more_is_sent_again_than_a_radios_queue_holds():
    sends = Sends()
    for number in range(30):
        taken(sends, number, at=5.0)

    assert [send.id for send in sends.take_back(0.0)] == [*range(14, 30)]


def test_who_keeps_them_is_told_of_receipts_and_of_what_was_said_after_them():
    told: list[tuple[int, Certainty | None, bool]] = []
    sends = Sends(changed=lambda send: told.append((send.id, send.known, send.refusal is not None)))
    sends.begin(6, "k6.0", FAR)
    sends.judge(request=6, error=Routing.NONE, sender=OWN, own=OWN)
    taken(sends, 7, node=FAR)
    judged(sends, Routing.NONE)
    judged(sends, Routing.PKI_UNKNOWN_PUBKEY, sender=FAR)

    assert told == [(7, Certainty.SENT, False), (7, Certainty.HEARD, False), (7, Certainty.HEARD, True)]


@pytest.mark.parametrize(
    ("res", "kind"),
    [
        (32, RateLimited),
        (33, RateLimited),
        (34, RateLimited),
        (6, NotThere),
        (7, Rejected),
        (9, RateLimited),
        (39, NoKey),
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
