# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridges.matrix.beeper import Status, statuses
from gateway.model import Leg, Progress, RemoteId, State
from tests.unit.test_matrix_progress import CHAT, LAN, NOW, leg, progress


def told(*news: Progress, told: frozenset[str] = frozenset()) -> list[Status]:
    return list(statuses(news, told=told, now_ms=NOW, pending_after_s=10, server="gw.test"))


@pytest.mark.parametrize(
    ("legs", "content"),
    [
        ((leg(State.QUEUED, reason="unplugged"),), {"status": "PENDING", "message": "unplugged"}),
        ((leg(State.SENT), leg(State.WAITING, LAN)), {"status": "PENDING"}),
        ((leg(State.SENT), leg(State.HEARD, LAN)), {"status": "SUCCESS"}),
        ((leg(State.FOLDED),), {"status": "SUCCESS"}),
        ((leg(State.SENT, CHAT, direct=True),), {"status": "SUCCESS", "delivered_to_users": []}),
        (
            (leg(State.DELIVERED, CHAT, direct=True),),
            {"status": "SUCCESS", "delivered_to_users": ["@mesh_a1b2c301:gw.test"]},
        ),
        (
            (leg(State.FAILED, reason="/dev/ttyUSB0 said no"),),
            {"status": "FAIL_PERMANENT", "reason": "m.foreign_network_error", "message": "… said no"},
        ),
        (
            (leg(State.EXPIRED, reason="too old"), leg(State.SENT, LAN)),
            {"status": "FAIL_RETRIABLE", "reason": "m.event_too_old", "message": "too old"},
        ),
    ],
)
def test_a_status_says_how_far_a_message_is(legs: tuple[Leg, ...], content: dict[str, Any]) -> None:
    (status,) = told(progress(*legs))
    networks = ", ".join(dict.fromkeys(one.to.bridge for one in legs))
    relation = {"rel_type": "m.reference", "event_id": "$1"}
    assert status.content == {"m.relates_to": relation, "network": networks, **content}
    assert told(progress(*legs), told=frozenset({status.about})) == []


def test_what_is_through_at_once_was_never_pending_and_what_goes_nowhere_has_no_status() -> None:
    assert told(progress(leg(State.QUEUED), age_s=9)) == []
    assert told(progress()) == []


def test_a_change_that_came_too_late_failed() -> None:
    late = replace(progress(kind="redaction"), late=(leg(State.CANCELLED, reason="it stands"),), about=RemoteId("$0"))
    (status,) = told(late)
    assert (status.content["status"], status.content["reason"], status.content["message"]) == (
        "FAIL_PERMANENT",
        "com.beeper.unsupported_event",
        "it stands",
    )


def test_an_acknowledgement_that_comes_later_is_told_too() -> None:
    (sent,) = told(progress(leg(State.SENT, CHAT, direct=True)))
    (delivered,) = told(progress(leg(State.DELIVERED, CHAT, direct=True)), told=frozenset({sent.about}))
    assert sent.key != delivered.key
