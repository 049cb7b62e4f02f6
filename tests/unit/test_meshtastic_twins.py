# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bridges.meshtastic.places import Channel
from bridges.meshtastic.register import Register, Seat
from bridges.meshtastic.twins import CONTENTION_S, DRAIN_S, HEARD_WITHIN_MS, HOPS, Twins
from gateway.model import (
    Address,
    BridgeName,
    Candidate,
    Delivery,
    Hold,
    Message,
    NativeId,
    RateLimited,
    Sender,
    SenderId,
    Text,
)

HILL, RIDGE, MARKET = 0xA1B2C300, 0xA1B2C301, 0xA1B2C302
PACKET = NativeId("mt:a1b2c300:00000007")
MODEM = "EU_868 LongFast"
AIRTIME_MS = 1000
WINDOW_S = CONTENTION_S + HOPS + 1


class StillClock:
    """Stands where it is put."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now_ms(self) -> int:
        return round(self.at * 1000) + 1_700_000_000_000

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


class Pair:
    """Two radios, the second of which heard the first just now."""

    def __init__(self) -> None:
        self.clock = StillClock()
        register = Register()
        self.hill = self._seat(register, "hill", HILL)
        self.ridge = self._seat(register, "ridge", RIDGE)
        self.heard: dict[int, int] = {HILL: self.clock.now_ms()}
        self.first = Twins(self.hill, clock=self.clock, heard_ms=lambda _: None)
        self.second = Twins(self.ridge, clock=self.clock, heard_ms=self.heard.get)
        self.clock.at += DRAIN_S

    @staticmethod
    def _seat(register: Register, name: str, number: int) -> Seat:
        seat = register.join(BridgeName(name))
        seat.learn(number, MODEM, {0: Channel(0, "LongFast"), 1: Channel(1, "Town")})
        return seat

    def say(self, message: Message, *, on: str = "LongFast") -> None:
        with self.first.turn(message, Address(self.hill.name, on), PACKET, AIRTIME_MS):
            pass

    def held_s(self, message: Message, *, on: str = "LongFast") -> float:
        place = Address(self.ridge.name, on)
        try:
            with self.second.turn(message, place, PACKET, AIRTIME_MS):
                return 0.0
        except RateLimited as error:
            return (error.retry_after_s or math.nan) if not error.for_all else math.nan


def _message(pair: Pair, *, origin: str = "home/#town:x", sender: str = "@ali:x", body: str = "hello") -> Message:
    return Message(
        native_id=NativeId("mx:$one"),
        origin=Address.parse(origin),
        sender=Sender(id=SenderId(sender), name="Ali"),
        content=Text(body=body),
        received_ms=pair.clock.now_ms(),
    )


def _heard(pair: Pair, packet: NativeId, body: str) -> Message:
    return replace(_message(pair, origin="ridge/LongFast", body=body), native_id=packet)


def test_what_the_other_has_just_said_waits_for_its_copy_and_goes_out_if_none_came():
    pair = Pair()
    message = _message(pair)
    pair.say(message)
    assert pair.held_s(message) == WINDOW_S
    pair.clock.at += WINDOW_S
    assert pair.held_s(message) == 0


def test_while_one_waits_for_its_copy_others_go_and_where_all_must_it_is_a_brief_hold():
    pair = Pair()
    message = _message(pair)
    pair.say(message)
    waits = Candidate(delivery=Delivery(message=message, to=Address(pair.ridge.name, "LongFast")))
    elsewhere = Candidate(delivery=Delivery(message=message, to=Address(pair.ridge.name, "Town")))
    alone = Candidate(delivery=Delivery(message=message, to=Address(pair.ridge.name, "!a1b2c302")))

    assert pair.second.ready([waits, elsewhere, alone], lambda *_: AIRTIME_MS) == [elsewhere, alone]
    held = pair.second.ready([waits], lambda *_: AIRTIME_MS)
    assert isinstance(held, Hold)
    assert (held.for_s, held.is_brief) == (WINDOW_S, True)
    assert held.reason == "hill has it on the same mesh already: waiting whether it is heard here"
    pair.clock.at += WINDOW_S
    assert pair.second.ready([waits], lambda *_: AIRTIME_MS) == [waits]


def test_what_the_other_is_handing_to_its_radio_waits_too():
    pair = Pair()
    message = _message(pair)
    with pair.first.turn(message, Address(pair.hill.name, "LongFast"), PACKET, AIRTIME_MS):
        pair.clock.at += 100
        assert pair.held_s(message) == WINDOW_S


def test_what_the_other_heard_waits_as_long_as_a_packet_may_take_from_when_it_did():
    pair = Pair()
    message = _message(pair, origin="hill/LongFast", sender="!a1b2c302")
    pair.clock.at += 1
    assert pair.held_s(message) == WINDOW_S - 1
    pair.clock.at += WINDOW_S
    assert pair.held_s(message) == 0


def test_what_our_node_kept_meanwhile_has_the_time_to_come_first():
    pair = Pair()
    message = _message(pair, origin="hill/LongFast", sender="!a1b2c302")
    pair.clock.at += 3600
    pair.heard[MARKET] = pair.clock.now_ms()
    pair.second.connected()
    assert pair.held_s(message) == DRAIN_S


def test_a_copy_that_came_in_while_the_message_was_with_us_is_as_good_as_sent():
    pair = Pair()
    place = Address(pair.ridge.name, "LongFast")
    message = _message(pair)
    pair.say(message)
    assert pair.second.copy(message, place) is None
    pair.second.hear(_heard(pair, PACKET, "hello"))
    assert pair.second.copy(message, place) == "00000007"
    assert pair.second.copy(message, Address(pair.ridge.name, "!a1b2c302")) is None
    assert pair.first.copy(message, Address(pair.hill.name, "LongFast")) is None


def test_what_both_heard_is_a_copy_on_its_own_channel_and_not_where_a_digest_carries_its_id():
    pair = Pair()
    packet = NativeId("mt:a1b2c302:00000009")
    pair.second.hear(_heard(pair, packet, "at the ford"))
    told = replace(_message(pair, origin="hill/LongFast", body="Market: at the ford"), native_id=packet)
    digest = replace(told, content=Text(body="2 earlier from LongFast 14:02-15:30: Ali: in town | Market: at the ford"))

    assert pair.second.copy(told, Address(pair.ridge.name, "LongFast")) == "00000009"
    assert pair.second.copy(told, Address(pair.ridge.name, "Town")) is None
    assert pair.second.copy(digest, Address(pair.ridge.name, "LongFast")) is None


@pytest.mark.parametrize("what", ["never heard", "long ago", "another preset", "another channel", "another part"])
def test_nothing_waits_for_what_can_not_come(what: str):
    pair = Pair()
    message = _message(pair)
    match what:
        case "never heard":
            pair.heard.clear()
        case "long ago":
            pair.heard[HILL] -= HEARD_WITHIN_MS + 60_000
        case "another preset":
            pair.ridge.modem = "EU_868 MediumFast"
    pair.say(message)
    if what == "another part":
        message = _message(pair, body="the rest of it")
    assert pair.held_s(message, on="Town" if what == "another channel" else "LongFast") == 0


def test_direct_chats_and_channels_that_are_not_there_are_no_business_of_the_others():
    pair = Pair()
    message = _message(pair)
    for place in ("!a1b2c302", "Village"):
        pair.say(message, on=place)
        assert pair.held_s(message, on=place) == 0


def test_a_clock_that_is_set_back_by_a_day_holds_nothing_for_longer_than_a_copy_may_take():
    pair = Pair()
    came_in = replace(
        _message(pair, origin="hill/LongFast", sender="!a1b2c302"), received_ms=pair.clock.now_ms() + 86_400_000
    )
    assert pair.held_s(came_in) == WINDOW_S
    pair.clock.at += WINDOW_S
    assert pair.held_s(came_in) == 0
