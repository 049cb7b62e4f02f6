# SPDX-License-Identifier: GPL-3.0-or-later
"""What is remembered of the network and of waiting is bounded, and does what it should at the bound."""

from __future__ import annotations

import ipaddress
import random
from dataclasses import replace
from unittest.mock import Mock

import pytest
from zeroconf import DNSAddress, RecordUpdate
from zeroconf.const import _CLASS_IN, _TYPE_A

from bridges.lan.responder import MOST_HEARD, Responder
from gateway import outcomes
from gateway.backoff import Policy
from gateway.clock import ManualClock
from gateway.model import Address, BridgeName, Delivery, Listen, Message, NativeId, Sender, SenderId, Text
from gateway.outbox.outbox import Lease
from gateway.outcomes import Outcomes

OWN = "192.0.2.1"


def said(address: str) -> RecordUpdate:
    return RecordUpdate(DNSAddress("hill.local.", _TYPE_A, _CLASS_IN, 120, ipaddress.ip_address(address).packed), None)


def test_a_flood_of_addresses_for_our_name_is_not_kept_and_hides_no_address_of_this_host() -> None:
    told: list[bool] = []
    responder = Responder([OWN], lambda: frozenset({OWN}), lambda: told.append(True))
    responder._probed = "hill.local."

    responder.async_update_records(None, 0.0, [said(f"10.0.{n // 250}.{n % 250}") for n in range(5 * MOST_HEARD)])  # type: ignore[arg-type]
    assert len(responder._heard) == MOST_HEARD
    assert not responder.is_told_otherwise

    responder.async_update_records(None, 0.0, [said(OWN)])  # type: ignore[arg-type]
    assert responder.is_told_otherwise


def waiting(room: str) -> Lease:
    message = Message(
        native_id=NativeId("mt:1"),
        origin=Address.parse("radio/LongFast"),
        sender=Sender(id=SenderId("!a1b2c301"), name="Ali"),
        content=Text(body="hello"),
        received_ms=1,
    )
    one = Delivery(message=message, to=Address.parse(f"home/{room}"))
    return Lease(id=one.id, delivery=one, attempt=1, generation=0, until_ms=9)


def test_of_more_rooms_that_wait_than_are_remembered_the_oldest_one_s_story_says_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outcomes, "MOST_LISTENING", 2)
    kept = Outcomes(BridgeName("home"), ManualClock(), policy=Policy(), random=random.Random(1), observer=Mock())
    first = Listen(for_s=5, reason="box valley speaks first")

    def is_told(room: str, answer: Listen = first) -> bool:
        return kept.listening(waiting(room), answer).change is not None

    assert [is_told(room) for room in ("a", "a", "b", "a", "b")] == [True, False, True, False, False]
    assert is_told("a", replace(first, reason="box ridge speaks first"))
    assert [is_told("c"), is_told("b"), is_told("c")] == [True, True, False]
