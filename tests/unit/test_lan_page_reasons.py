# SPDX-License-Identifier: GPL-3.0-or-later
"""What guests are told of why a line is where it is: kinds in words for people, and never the operators' own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.lan.entries import CUT
from bridges.lan.introductions import NO_ROOM
from bridges.lan.page.languages import LANGUAGES
from bridges.lan.page.reasons import Kind, kind_of
from bridges.lan.page.wording import standing
from bridges.meshtastic import turns
from bridges.meshtastic.allowance import Allowance, Cost, room
from bridges.meshtastic.ledger import Ledger
from bridges.meshtastic.refusals import _OWN
from gateway import unanswered
from gateway.journal import amending
from gateway.journal.store import THERE_ALREADY
from gateway.model import State

FOR_OPERATORS = (
    "/tmp/x/nowhere: is not there",
    "/dev/serial/by-id/usb-Heltec: is in use by the bridge other",
    "https://matrix.example.org can't be reached: ConnectionRefusedError",
    "10.0.0.7:4403: its name is not found: the resolver does not answer",
    "3 conversations in a row without an answer: M_UNKNOWN at https://hs.example",
    "x; /etc/shadow: failed, at host.example",
)


@pytest.mark.parametrize("language", sorted(LANGUAGES))
@pytest.mark.parametrize("reason", FOR_OPERATORS)
@pytest.mark.parametrize("state", [state.value for state in State])
def test_no_device_host_or_error_is_told_to_a_guest(language, reason, state):
    shown = str(standing(language, f"radio/LongFast: {state}, {reason}"))
    assert shown.startswith("radio/LongFast: ")
    assert not any(word in shown for word in ("/tmp", "/dev", "example", "10.0", "M_", "/etc", "Error", "bridge other"))
    assert "<span" not in shown


def test_a_network_that_is_away_is_said_to_be_that():
    assert standing("en", f"radio/LongFast: queued, {CUT}") == "radio/LongFast: queued, not connected just now"
    assert standing("de", f"radio: cancelled, {NO_ROOM}").endswith("versuch es morgen wieder")
    assert standing("uk", f"radio: queued, {CUT}") == "радіо: у черзі, зараз немає зв’язку"


@pytest.mark.parametrize(
    ("state", "reason", "kind"),
    [
        ("queued", CUT, Kind.CUT),
        ("queued", turns.PACE, Kind.TURN),
        ("queued", turns.CROWDED, Kind.BUDGET),
        ("queued", turns._busy(41.2).reason, Kind.BUSY),
        ("waiting", "radio silence, by @op:secret.example, for another 5 min", Kind.SILENCE),
        ("cancelled", "the sender is muted, for another 5 min", Kind.MUTED),
        ("cancelled", "the sender is banned", Kind.BANNED),
        ("cancelled", "the sender may read but not transmit on radio", Kind.READS_ONLY),
        ("cancelled", "the sender has no permission here", Kind.FORBIDDEN),
        ("cancelled", "that takes the permission transmit", Kind.FORBIDDEN),
        ("expired", "too old for this network", Kind.OLD),
        ("failed", "too long: more than 3 parts of 190 bytes", Kind.LONG),
        ("waiting", "the radio has no channel town; it has LongFast, ops", Kind.NOWHERE),
        ("cancelled", NO_ROOM, Kind.NO_ROOM),
        ("queued", "box valley speaks first", Kind.ANOTHER),
        ("cancelled", "already there: box valley said it", Kind.THERE),
        ("cancelled", THERE_ALREADY, Kind.THERE),
        ("failed", unanswered.UNACKNOWLEDGED, Kind.UNCONFIRMED),
        ("failed", unanswered.RELAYED_ONLY, Kind.UNCONFIRMED),
        ("cancelled", amending.TAKEN_BACK, Kind.TAKEN_BACK),
        ("cancelled", amending.CHANGED, Kind.CHANGED),
        ("cancelled", "cancelled by hand", Kind.STOPPED),
        ("folded", "into the digest d3b0", Kind.DIGEST),
        ("queued", "a thing that no release said yet", Kind.AGAIN),
        ("failed", "a thing that no release said yet", Kind.ASK),
        ("sent", "a thing that no release said yet", Kind.DIGEST),
        ("sent", "", Kind.DIGEST),
    ],
)
def test_a_reason_is_of_a_kind(state, reason, kind):
    assert kind_of(state, reason) is kind


@pytest.mark.parametrize("spent_ms", [3_600, 36_000])
def test_a_used_up_hour_is_a_matter_of_airtime(spent_ms):
    ledger = Ledger()
    ledger.spend(spent_ms, 0.0)
    allowed = Allowance(share_ms=36_000, emergency_ms=36_000, legal_ms=36_000)
    full = room(ledger, allowed, Cost(ms=34_000, tries=1, gap_s=0.0), others_ms=0, now=1.0, is_emergency=False)
    assert full is not None
    assert kind_of("queued", full.reason) is Kind.BUDGET


@pytest.mark.parametrize("refuse", sorted(set(_OWN.values()), key=lambda one: one.__name__))
def test_what_a_radio_answers_is_told_in_words_of_ours(refuse):
    reason = str(refuse())
    assert kind_of("queued", reason).value != reason or reason in {kind.value for kind in Kind}


@given(st.text(max_size=200))
def test_whatever_a_state_says_only_words_of_ours_come_of_its_reason(text):
    ours = {kind.value for kind in Kind}
    shown = str(standing("en", f"radio: failed, {text}"))
    assert shown.split("; ", maxsplit=1)[0] in {"radio: failed"} | {f"radio: failed, {words}" for words in ours}
