# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose turn it is on the air, and when it is nobody's."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.meshtastic import turns
from bridges.meshtastic.allowance import Allowance, Cost
from bridges.meshtastic.classes import Class, class_of
from bridges.meshtastic.fairness import Fairness
from bridges.meshtastic.ledger import Ledger, Reservation
from bridges.meshtastic.turns import Sky, choose
from gateway.model import (
    Address,
    BridgeName,
    Candidate,
    Delivery,
    Go,
    Hold,
    Lane,
    Location,
    Message,
    NativeId,
    Reaction,
    Refuse,
    RemoteId,
    Sender,
    SenderId,
    Text,
    Topic,
)

ALLOWED = Allowance.of(10.0, None)
HEAD_START_MS = 9000


def waiting(
    number: int = 1,
    *,
    room: str = "LongFast",
    by: str = "@ali:example.org",
    lane: Lane = Lane.NORMAL,
    content: Any = None,
    is_reply: bool = False,
    is_digest: bool = False,
    topic: Topic = Topic.TALK,
) -> Candidate:
    message = Message(
        native_id=NativeId(f"mx:${number}"),
        origin=Address(BridgeName("home"), "#town:example.org"),
        sender=Sender(id=SenderId(by), name=by.strip("@").partition(":")[0]),
        content=content or Text(body="words"),
        received_ms=number,
        reply_to=RemoteId("0000002a") if is_reply else None,
        lane=lane,
        topic=topic,
    )
    delivery = Delivery(message=message, to=Address(BridgeName("radio"), room))
    return Candidate(delivery=delivery, is_digest=is_digest)


def sky(**changed: Any) -> Sky:
    known: dict[str, Any] = {
        "now": 10_000.0,
        "silence": "",
        "resting_s": 0.0,
        "pace_s": 0.0,
        "busy_percent": None,
        "others_ms": 0,
        "allowed": ALLOWED,
    }
    return Sky(**(known | changed))


def chosen(*heads: Candidate, ledger: Ledger | None = None, fairness: Fairness | None = None, **changed: Any) -> Any:
    return choose(
        heads, sky(**changed), ledger or Ledger(), fairness or Fairness(), lambda _: Cost(ms=1000, tries=3, gap_s=8.0)
    )


def full() -> Ledger:
    ledger = Ledger()
    ledger.spend(ALLOWED.share_ms, 9000.0)
    return ledger


def test_an_emergency_goes_before_all_and_guests_after_all():
    emergency, normal = waiting(3, lane=Lane.EMERGENCY, room="Town"), waiting(2, room="River")
    guest = waiting(1, lane=Lane.GUEST)

    assert chosen(guest, normal, emergency) == Go(id=emergency.delivery.id)
    assert chosen(guest, normal) == Go(id=normal.delivery.id)
    assert chosen(guest) == Go(id=guest.delivery.id)


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        (waiting(room="!a1b2c301"), Class.DIRECT),
        (waiting(is_reply=True), Class.REPLY),
        (waiting(content=Reaction(target=RemoteId("0000002a"), emoji="👍")), Class.REPLY),
        (waiting(), Class.MEMBER),
        (waiting(is_digest=True), Class.DIGEST),
        (waiting(topic=Topic.TELEMETRY), Class.TELEMETRY),
        (waiting(topic=Topic.SENSOR), Class.TELEMETRY),
        (waiting(content=Location(latitude=47.0, longitude=8.0)), Class.TELEMETRY),
    ],
)
def test_each_kind_of_thing_has_its_class(candidate, expected):
    assert class_of(candidate) is expected


def test_within_a_lane_the_better_class_goes_first():
    in_order = [
        waiting(6, room="!a1b2c301", by="@f:x"),
        waiting(5, room="River", by="@e:x", is_reply=True),
        waiting(4, room="Town", by="@d:x"),
        waiting(3, room="Market", by="hilltop", is_digest=True),
        waiting(2, room="School", by="@b:x", content=Location(latitude=47.0, longitude=8.0)),
    ]
    left, went = list(reversed(in_order)), []
    while left:
        answer = chosen(*left)
        went.append(next(each for each in left if each.delivery.id == answer.id))
        left.remove(went[-1])

    assert went == in_order


def test_among_equals_the_one_who_had_less_goes_first():
    fairness = Fairness()
    fairness.served(waiting(room="Town", by="@ali:x").delivery, 1000)
    same_room, same_sender = waiting(1, room="Town", by="@bea:x"), waiting(2, room="River", by="@ali:x")
    neither = waiting(3, room="Market", by="@cem:x")

    assert chosen(same_room, same_sender, neither, fairness=fairness) == Go(id=neither.delivery.id)


def test_somebody_who_never_stops_does_not_keep_the_others_waiting():
    fairness, went = Fairness(), Counter()
    for number in range(400):
        heads = [
            waiting(number, room="!a1b2c301", by="@never-stops:x"),
            waiting(number, room="Town", by="@ali:x"),
            waiting(number, room="River", by="@bea:x", content=Location(latitude=47.0, longitude=8.0)),
        ]
        answer = chosen(*heads, fairness=fairness)
        served = next(each for each in heads if each.delivery.id == answer.id)
        fairness.served(served.delivery, 1000)
        went[served.delivery.to.conversation] += 1

    assert min(went.values()) > 120, went


def test_somebody_in_many_rooms_has_no_more_than_somebody_in_one():
    fairness, went = Fairness(), Counter()
    rooms = [f"R{number}" for number in range(6)]
    for number in range(200):
        heads = [waiting(number, room=room, by="@everywhere:x") for room in rooms]
        heads.append(waiting(number, room="Town", by="@ali:x"))
        served = fairness.pick(heads, HEAD_START_MS)
        fairness.served(served.delivery, 1000)
        went[served.delivery.message.sender.id] += 1

    assert abs(went["@ali:x"] - went["@everywhere:x"]) <= 20, went


def test_somebody_in_two_rooms_goes_by_turns_in_both():
    fairness, went = Fairness(), Counter()
    for number in range(40):
        heads = [waiting(number, room="Town"), waiting(1000 + number, room="River")]
        served = fairness.pick(heads, HEAD_START_MS)
        fairness.served(served.delivery, 1000)
        went[served.delivery.to.conversation] += 1

    assert went == {"Town": 20, "River": 20}


def test_who_was_silent_saves_nothing_up():
    fairness, went = Fairness(), Counter()
    for number in range(100):
        fairness.served(fairness.pick([waiting(number, room="Town", by="@ali:x")], 0).delivery, 1000)
    for number in range(20):
        heads = [waiting(number, room="Town", by="@ali:x"), waiting(number, room="River", by="@bea:x")]
        served = fairness.pick(heads, 0)
        fairness.served(served.delivery, 1000)
        went[served.delivery.to.conversation] += 1

    assert abs(went["Town"] - went["River"]) <= 2, went


def test_fairness_remembers_so_many_and_no_more():
    fairness = Fairness(limit=8)
    for number in range(20):
        fairness.served(waiting(number, room=f"R{number}", by=f"@{number}:x").delivery, 1000 + number)

    assert len(fairness._had) == 8


flows = st.lists(
    st.tuples(
        st.sampled_from(["Town", "River", "!a1b2c301", "!a1b2c302"]),
        st.sampled_from("abc"),
        st.booleans(),
        st.integers(35, 4000),
    ),
    min_size=1,
    max_size=60,
)


@given(flows)
def test_every_message_goes_once_in_the_order_of_its_conversation_and_the_same_past_gives_the_same_order(flows):
    def play() -> list[int]:
        fairness = Fairness()
        queues: dict[str, deque[tuple[Candidate, int]]] = {}
        for number, (room, by, is_reply, cost_ms) in enumerate(flows):
            queues.setdefault(room, deque()).append(
                (waiting(number, room=room, by=f"@{by}:x", is_reply=is_reply), cost_ms)
            )
        went = []
        while queues:
            answer = chosen(*(queue[0][0] for queue in queues.values()), fairness=fairness)
            room = next(room for room, queue in queues.items() if queue[0][0].delivery.id == answer.id)
            candidate, cost_ms = queues[room].popleft()
            fairness.served(candidate.delivery, cost_ms)
            went.append(candidate.delivery.message.received_ms)
            if not queues[room]:
                del queues[room]
        return went

    went = play()
    assert sorted(went) == list(range(len(flows)))
    for room in {flow[0] for flow in flows}:
        numbers = [number for number, flow in enumerate(flows) if flow[0] == room]
        assert [number for number in went if number in numbers] == numbers
    assert play() == went


def test_nobody_starves_whatever_class_the_others_have():
    fairness, since, times = Fairness(), 0, 0
    poor = waiting(0, room="School", by="@poor:x", content=Location(latitude=47.0, longitude=8.0))
    for number in range(200):
        others = [
            waiting(number + 1, room=room, by=f"@{room}:x", is_reply=True) for room in ("Town", "River", "Market")
        ]
        served = fairness.pick([poor, *others], HEAD_START_MS)
        fairness.served(served.delivery, 1000)
        times += served is poor
        since = 0 if served is poor else since + 1
        assert since <= 3 * (HEAD_START_MS / 1000 + 2)
    assert times > 30


def test_a_busy_channel_is_left_to_the_others_but_not_in_an_emergency():
    emergency, normal = waiting(lane=Lane.EMERGENCY), waiting(2)

    assert chosen(normal, busy_percent=25.0) == Go(id=normal.delivery.id)
    assert chosen(normal, busy_percent=31.2) == Hold(for_s=turns.LOOK_AGAIN_S, reason="the channel is busy: 31 %")
    assert chosen(emergency, normal, busy_percent=90.0) == Go(id=emergency.delivery.id)


def test_guests_wait_on_a_busy_channel_and_are_refused_on_a_crowded_one():
    guest, normal = waiting(1, lane=Lane.GUEST), waiting(2)

    assert isinstance(chosen(guest, busy_percent=39.0), Hold)
    refused = chosen(normal, guest, busy_percent=41.0)
    assert refused == Refuse(id=guest.delivery.id, reason="the channel is crowded (41 %): guests are not carried")


def test_a_used_up_budget_holds_all_but_emergencies():
    emergency, normal = waiting(lane=Lane.EMERGENCY), waiting(2)

    held = chosen(normal, ledger=full())
    assert isinstance(held, Hold)
    assert held.reason.startswith("the airtime budget is used up: 180 s of 180 s")
    assert held.for_s == pytest.approx(2600.0)
    assert chosen(emergency, ledger=full()) == Go(id=emergency.delivery.id)


def test_after_much_at_once_only_what_is_for_one_person_goes_on():
    ledger = Ledger()
    ledger.spend(15_000, 9999.0)
    direct = waiting(2, room="!a1b2c301")

    held = chosen(waiting(1), ledger=ledger)
    assert isinstance(held, Hold)
    assert "spread" in held.reason
    assert chosen(direct, ledger=ledger) == Go(id=direct.delivery.id)


def untold(at: float) -> Reservation:
    return Reservation(at=at, ms=1000, tries=3, gap_s=8.0, until=at + 60)


def half_spent() -> Ledger:
    """Of what may go at once, and a little more."""
    ledger = Ledger()
    ledger.spend(round(ALLOWED.burst_ms / 2) + 1, 10_000.0)
    return ledger


def test_a_text_or_two_more_go_without_waiting_for_a_radio_that_nobody_hears_while_there_is_plenty_left():
    ledger = Ledger()
    for packet in range(turns.AT_ONCE - 1):
        ledger.reserve(packet, untold(9999.0))
    assert isinstance(chosen(waiting(2), ledger=ledger), Go)

    ledger.reserve(turns.AT_ONCE, untold(9999.5))
    assert chosen(waiting(2), ledger=ledger).reason == turns.PACE
    assert isinstance(chosen(waiting(2), ledger=ledger, now=10_007.1), Go), "the first is told of, or late"


def test_a_pause_between_two_texts_is_brief_and_nothing_else_is():
    busy, mute = chosen(waiting(), busy_percent=31.0), chosen(waiting(), silence="the radio has no region set")
    pause = chosen(waiting(), pace_s=1.5)

    assert (pause.is_brief, busy.is_brief, mute.is_brief) == (True, False, False)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"busy_percent": 31.0}, "the channel is busy: 31 %"),
        ({"silence": "the radio has no region set"}, "the radio has no region set"),
        ({"ledger": half_spent()}, turns.CROWDED),
    ],
)
def test_what_the_gateway_says_itself_goes_only_where_there_is_room_to_spare(changed, reason):
    ledger = changed.pop("ledger", Ledger())
    held = turns.spare(1000, sky(**changed), ledger)

    assert (held and held.reason) == reason
    if reason == turns.CROWDED:
        assert isinstance(chosen(waiting(), ledger=ledger), Go), "what people say still goes"


def test_nothing_goes_while_the_radio_has_not_told_of_the_last_but_an_emergency():
    ledger = half_spent()
    ledger.reserve(1, untold(9999.0))
    emergency = waiting(lane=Lane.EMERGENCY)

    assert chosen(waiting(2), ledger=ledger) == Hold(for_s=turns.OPEN_S, reason=turns.PACE, is_brief=True)
    assert chosen(emergency, ledger=ledger) == Go(id=emergency.delivery.id)
    assert isinstance(chosen(waiting(2), ledger=ledger, now=10_007.1), Go)


@pytest.mark.parametrize(
    "changed",
    [{"silence": "the radio has no region set"}, {"resting_s": 300.0}, {"pace_s": 1.5}],
    ids=lambda it: next(iter(it)),
)
def test_what_the_radio_would_refuse_or_drop_is_not_given_to_it_whoever_it_is_from(changed):
    held = chosen(waiting(lane=Lane.EMERGENCY), waiting(2), **changed)

    assert isinstance(held, Hold)
    assert 0 < held.for_s <= turns.SILENT_S


def test_what_no_hour_has_room_for_is_refused_with_the_figures():
    head = waiting()
    answer = choose(
        [head],
        sky(allowed=Allowance.of(1.0, 0.1)),
        Ledger(),
        Fairness(),
        lambda _: Cost(ms=12_700, tries=1, gap_s=20.0),
    )

    assert answer == Refuse(
        id=head.delivery.id, reason="it takes 12.7 s on the air, and an hour of this radio has 3.6 s for us"
    )
