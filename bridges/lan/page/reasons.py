# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a line is where it is, in words for guests. Pure.

What the core says is for who runs the box: it may name devices, hosts and people. At a page each reason is one of a
few kinds, and what is of none of them is told in general words: nothing else that the core says gets there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from gateway.model import State


class Kind(Enum):
    """What keeps a line, or kept it, in words that the catalogues have. Empty: the state says it all."""

    CUT = "not connected just now"
    SILENCE = "radio silence"
    BUSY = "the channel is busy"
    BUDGET = "the radio's airtime is used up for now"
    TURN = "one after the other, at the radio's pace"
    READS_ONLY = "/radio asks the operator for it"
    MUTED = "the sender is muted"
    BANNED = "the sender is banned"
    FORBIDDEN = "the sender has no permission here"
    OLD = "it got too old"
    LONG = "too long"
    NOWHERE = "there is no such place there"
    NO_ROOM = "all private chats are in use: try again tomorrow"
    ANOTHER = "another box says it"
    THERE = "already there"
    UNCONFIRMED = "no answer from there in time"
    UNRELAYED = "nobody was heard passing it on"
    TAKEN_BACK = "taken back before it was sent"
    CHANGED = "changed before it was sent"
    STOPPED = "stopped by whoever runs the box"
    DIGEST = ""
    AGAIN = "it is tried again"
    """Of no other kind, and still on its way."""
    ASK = "whoever runs this box can see why"
    """Of no other kind, and over."""


_KINDS: tuple[tuple[str, Kind], ...] = (
    ("not connected.*|the radio is not connected.*|no answer yet", Kind.CUT),
    ("radio silence.*", Kind.SILENCE),
    ("the channel is busy.*", Kind.BUSY),
    ("one after the other, at the radio's pace|the radio takes one text in .*|.*transmit queue is full", Kind.TURN),
    (".*airtime.*|.*duty cycle.*", Kind.BUDGET),
    ("the sender may read but not transmit on radio", Kind.READS_ONLY),
    ("the sender is muted.*", Kind.MUTED),
    ("the sender is banned.*", Kind.BANNED),
    ("the sender has no permission here|that takes the permission .*", Kind.FORBIDDEN),
    ("too old for this network", Kind.OLD),
    ("too long.*|the [a-z]+ is too long|.* too (?:long|large) for one packet.*|it takes .* on the air.*", Kind.LONG),
    ("the radio has no (?:such )?channel.*|the radio has [0-9]+ channels named .*|no route .*", Kind.NOWHERE),
    ("there are as many private chats as can be.*", Kind.NO_ROOM),
    (
        "box .* is saying it|box .* speaks first|other boxes are telling .*|.*: waiting whether it is heard here",
        Kind.ANOTHER,
    ),
    ("already there.*", Kind.THERE),
    (".*did not acknowledge.*|the radio did not say whether it took it", Kind.UNCONFIRMED),
    ("no neighbour was heard to relay it", Kind.UNRELAYED),
    ("taken back by its sender before it was sent", Kind.TAKEN_BACK),
    (".*changed .*before it was sent", Kind.CHANGED),
    ("cancelled by hand", Kind.STOPPED),
    ("into the digest .*|a digest of .*|[0-9]+ earlier ones in one text", Kind.DIGEST),
)
"""The first that fits. A line here is about what this project says itself: `test_lan_page_reasons` has it said anew."""
_FITS = tuple((re.compile(words, re.DOTALL), kind) for words, kind in _KINDS)
_STATES = frozenset(state.value for state in State)
_ENDED_BADLY = frozenset({State.FAILED.value, State.CANCELLED.value})
_LEG = re.compile(
    rf"(?P<where>[\w.-]+(?:/.*?)?): (?P<state>{'|'.join(sorted(_STATES))})(?:, (?P<reason>.*))?", re.DOTALL
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """What became of a line on its way to one address."""

    where: str
    state: str
    reason: str
    """For guests; empty: none."""


def kind_of(state: str, reason: str) -> Kind:
    """Return of which kind the core's reason for a state is."""
    found = next((kind for words, kind in _FITS if words.fullmatch(reason)), None)
    if found is not None or not reason:
        return found or Kind.DIGEST
    if State(state).is_pending:
        return Kind.AGAIN
    return Kind.ASK if state in _ENDED_BADLY else Kind.DIGEST


def stands(text: str) -> list[Stand]:
    """Return what `Line.state` says: "radio/LongFast: queued, the channel is busy; home/#town: sent".

    What is no state of an address (``bridge/conversation``) isn't told: it is more of the reason before it, or a
    state of another release.
    """
    found = (_LEG.fullmatch(leg) for leg in text.split("; "))
    return [
        Stand(where=one["where"], state=one["state"], reason=kind_of(one["state"], one["reason"] or "").value)
        for one in found
        if one is not None
    ]
