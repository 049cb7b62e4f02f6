# SPDX-License-Identifier: GPL-3.0-or-later
"""What is an emergency, and how often one sender may call one."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.emergency import MOST_SENDERS, WINDOW_S, EmergencyRules, Triage
from gateway.model import (
    Address,
    Edit,
    Lane,
    Level,
    Location,
    Message,
    NativeId,
    RemoteId,
    Sender,
    SenderId,
    Text,
    Topic,
)

RULES = EmergencyRules(
    words=("SOS", "Help me", "помощь", "救命", "ช่วยด้วย", "Straße"), senders=("!a1b2c301", "@warden:*"), limit=3
)


def said(body="hello", *, number=1, sender="@ali:example.org", at_ms=0, **rest):
    return Message(
        native_id=NativeId(f"mx:${number}"),
        origin=Address.parse("home/#town"),
        sender=Sender(id=SenderId(sender), name="Ali"),
        content=Text(body=body),
        received_ms=at_ms,
        **rest,
    )


@pytest.mark.parametrize(
    "body",
    [
        "SOS",
        "sos at the mill",
        "  SOS!",
        "ＳＯＳ",
        "help   ME, please",
        "ПОМОЩЬ на мельнице",
        "救命啊",
        "ช่วยด้วยครับ",
        "STRASSE gesperrt",
        "Sos\n",
    ],
)
def test_a_text_that_begins_with_one_of_the_words_is_an_emergency_in_any_case_and_script(body):
    assert RULES.calls(said(body), Level.TRANSMIT)


@pytest.mark.parametrize(
    "body", ["SOSO", "is this an SOS?", "help mean Joe", "sos_test", "помощью", "SOS\u0301", "", "救"]
)
def test_a_word_inside_another_or_further_on_is_none(body):
    assert not RULES.calls(said(body), Level.ADMIN)


def test_a_place_calls_with_its_own_words_only_for_a_tracker_sends_places_all_day():
    def at(words):
        return replace(said(sender="!a1b2c301"), content=Location(latitude=46.5, longitude=8.1, words=words))

    assert RULES.calls(at("SOS broken leg"), Level.TRANSMIT)
    assert not RULES.calls(at("SOS broken leg"), Level.READ)
    assert not RULES.calls(at(""), Level.ADMIN)


def test_the_words_are_for_those_whose_level_allows_them():
    strict = replace(RULES, level=Level.COMMANDS)

    assert not RULES.calls(said("SOS"), Level.READ)
    assert not strict.calls(said("SOS"), Level.TRANSMIT)
    assert strict.calls(said("SOS"), Level.COMMANDS)


@pytest.mark.parametrize("sender", ["!a1b2c301", "@warden:example.org"])
def test_every_text_of_a_sender_that_is_named_is_an_emergency(sender):
    assert RULES.calls(said("good morning", sender=sender), Level.READ)
    assert not RULES.calls(replace(said(sender=sender), content=Edit(target=RemoteId("$1"), body="SOS")), Level.READ)


def test_instruments_call_nobody_but_sensors_and_alerts_of_a_sender_that_is_named_do():
    topics = [topic for topic in Topic if RULES.calls(said("hi", sender="!a1b2c301", topic=topic), Level.READ)]
    assert Topic.TELEMETRY not in topics
    assert {Topic.TALK, Topic.ALERT, Topic.SENSOR} <= {*topics}


def test_without_a_configuration_only_a_radios_own_alert_is_one():
    plain = EmergencyRules()

    assert not plain.calls(said("SOS"), Level.ADMIN)
    assert plain.calls(said("SOS", lane=Lane.EMERGENCY), Level.READ)


def test_beyond_its_limit_a_sender_is_heard_as_usual_and_the_reason_is_told():
    counted = Counter()
    triage = Triage(RULES, count=lambda bridge, kind: counted.update([(bridge, kind)]))
    judged = [triage.judge(said("SOS", number=n, at_ms=n), Level.TRANSMIT) for n in range(5)]
    for message, reason in judged:
        triage.accepted(message, reason)

    assert [message.lane.value for message, _ in judged] == ["emergency"] * 3 + ["normal"] * 2
    assert judged[3][1] == "not as an emergency: more than 3 of this sender in 10 min"
    assert counted == {("home", "emergency"): 3, ("home", "emergency_over_limit"): 2}


def test_a_radios_alerts_are_limited_too_and_a_guest_beyond_the_limit_is_a_guest_again():
    triage = Triage(replace(RULES, limit=1))
    alerts = [triage.judge(said(number=n, lane=Lane.EMERGENCY), Level.READ)[0].lane for n in range(2)]
    guests = [
        triage.judge(said("SOS", number=n, sender="~kim", lane=Lane.GUEST), Level.TRANSMIT)[0].lane for n in range(2)
    ]

    assert alerts == [Lane.EMERGENCY, Lane.NORMAL]
    assert guests == [Lane.EMERGENCY, Lane.GUEST]


def test_one_senders_flood_takes_nothing_from_another():
    triage = Triage(RULES)
    for n in range(50):
        triage.judge(said("SOS", number=n), Level.TRANSMIT)

    assert triage.judge(said("SOS", number=99, sender="@kim:example.org"), Level.TRANSMIT)[0].lane is Lane.EMERGENCY


def test_a_message_that_is_judged_again_after_a_store_failed_counts_once():
    triage = Triage(RULES)
    lanes = [triage.judge(said("SOS", number=n // 10), Level.TRANSMIT)[0].lane for n in range(40)]

    assert lanes == [Lane.EMERGENCY] * 30 + [Lane.NORMAL] * 10


@given(st.lists(st.integers(0, 4 * WINDOW_S * 1000), min_size=1, max_size=60))
def test_in_no_ten_minutes_one_sender_calls_more_than_its_limit(times):
    triage = Triage(RULES)
    called = [
        at_ms
        for n, at_ms in enumerate(sorted(times))
        if triage.judge(said("SOS", number=n, at_ms=at_ms), Level.TRANSMIT)[0].lane is Lane.EMERGENCY
    ]

    assert all(sum(at <= other < at + WINDOW_S * 1000 for other in called) <= RULES.limit for at in called)


def test_a_clock_that_was_set_back_keeps_nobody_silent():
    triage = Triage(RULES)
    for n in range(5):
        triage.judge(said("SOS", number=n, at_ms=10**12), Level.TRANSMIT)

    assert triage.judge(said("SOS", number=9, at_ms=0), Level.TRANSMIT)[0].lane is Lane.EMERGENCY


def test_only_so_many_senders_are_remembered():
    triage = Triage(RULES)
    for n in range(MOST_SENDERS + 10):
        triage.judge(said("SOS", number=n, sender=f"@{n}:example.org"), Level.TRANSMIT)

    assert len(triage._called) == MOST_SENDERS


def test_who_goes_on_calling_is_not_forgotten_for_others():
    triage = Triage(RULES)
    lanes = [triage.judge(said("SOS", number=n), Level.TRANSMIT)[0].lane for n in range(RULES.limit - 1)]
    for n in range(MOST_SENDERS - 1):
        triage.judge(said("SOS", number=100 + n, sender=f"@{n}:example.org"), Level.TRANSMIT)
    lanes += [triage.judge(said("SOS", number=90), Level.TRANSMIT)[0].lane]
    triage.judge(said("SOS", number=91, sender="@last:example.org"), Level.TRANSMIT)

    assert set(lanes) == {Lane.EMERGENCY}
    assert triage.judge(said("SOS", number=92), Level.TRANSMIT)[0].lane is Lane.NORMAL
