# SPDX-License-Identifier: GPL-3.0-or-later
"""bridges.meshtastic.questions: what is a question, how seldom it is answered, and in which words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshtastic.protobuf.mesh_pb2 import MeshPacket

from bridges.meshtastic.choices import Question
from bridges.meshtastic.courtesy import MOST_NODES
from bridges.meshtastic.questions import (
    BURST_S,
    MOST_BYTES,
    MOST_QUESTIONS,
    ONCE_IN_S,
    SHARE,
    AnswerBudget,
    Questions,
    fitting,
    pong,
    question,
    who_is_there,
)
from gateway.model import Node, SenderId

ALL = frozenset(Question)
NOW_MS = 1_795_701_720_000


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("!ping", Question.PING),
        (" !PING\n", Question.PING),
        ("!nodes", Question.NODES),
        ("!gw", Question.GW),
        ("ping", None),
        ("!ping me", None),
        ("Ali: !ping", None),
        ("!pong", None),
        ("", None),
    ],
)
def test_the_word_alone_is_a_question(body: str, what: Question | None) -> None:
    assert question(body, ALL) is what


def test_what_is_not_answered_here_is_no_question() -> None:
    assert question("!gw", {Question.PING}) is None


def test_no_answer_is_a_question_so_that_two_gateways_do_not_keep_each_other_talking() -> None:
    answers = [pong(MeshPacket()), who_is_there([], own="!1", now_ms=NOW_MS), fitting("hilltop: radio up; 0 waiting")]
    assert [question(each, ALL) for each in answers] == [None] * 3


def test_one_node_is_answered_once_a_minute() -> None:
    allowance = AnswerBudget()
    found = [allowance.take("!1", at, cost_s=0.01) for at in (0.0, ONCE_IN_S - 0.1, ONCE_IN_S, ONCE_IN_S + 1)]
    assert found == [True, False, True, False]
    assert allowance.take("!2", ONCE_IN_S + 1, cost_s=0.01)


def test_a_refused_one_does_not_count() -> None:
    allowance = AnswerBudget()
    allowance.take("!1", 0.0, cost_s=0.01)
    for at in range(1, 60):
        allowance.take("!1", float(at), cost_s=0.01)
    assert allowance.take("!1", ONCE_IN_S, cost_s=0.01)


def test_a_slow_preset_still_answers_and_then_is_silent_for_its_share() -> None:
    allowance = AnswerBudget()
    assert allowance.take("!1", 0.0, cost_s=8.0)
    assert not allowance.take("!2", 799.0, cost_s=8.0)
    assert allowance.take("!2", 800.0, cost_s=8.0)


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 40)), min_size=50, max_size=200), st.floats(0.05, 3.0))
def test_whoever_asks_and_however_often_answers_take_no_more_than_their_share(
    asked: list[tuple[float, int]], cost_s: float
) -> None:
    allowance, now, used_s = AnswerBudget(), 0.0, 0.0
    for wait_s, node in asked:
        now += wait_s
        if allowance.take(f"!{node}", now, cost_s=cost_s):
            used_s += cost_s
    assert used_s <= now * SHARE + max(BURST_S, cost_s) + 1e-6


def test_only_so_many_nodes_and_packets_are_remembered() -> None:
    allowance, questions = AnswerBudget(), Questions()
    for number in range(MOST_NODES + 1):
        assert allowance.take(f"!{number}", 0.0, cost_s=0.0)
    assert allowance.take("!0", 1.0, cost_s=0.0)
    assert not allowance.take(f"!{MOST_NODES}", 1.0, cost_s=0.0)
    for number in range(MOST_QUESTIONS + 1):
        assert questions.is_new(f"mt:1:{number}")
    assert not questions.is_new("mt:1:1")
    assert questions.is_new("mt:1:0")


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        (
            MeshPacket(hop_start=3, hop_limit=3, rx_snr=6.25, rx_rssi=-87),
            "pong: heard you directly, SNR 6.2 dB, RSSI -87 dBm",
        ),
        (
            MeshPacket(hop_start=3, hop_limit=2, rx_snr=-4, rx_rssi=-120),
            "pong: heard you over 1 hop, SNR -4.0 dB, RSSI -120 dBm",
        ),
        (MeshPacket(hop_start=7, hop_limit=2), "pong: heard you over 5 hops"),
        (MeshPacket(hop_limit=2), "pong: heard you"),
        (MeshPacket(hop_start=1, hop_limit=2), "pong: heard you"),
    ],
)
def test_a_pong_says_how_the_asker_was_heard_as_far_as_that_is_known(packet: MeshPacket, words: str) -> None:
    assert pong(packet) == words


def node(number: int, ago_ms: int | None, short_name: str = "") -> Node:
    heard_ms = None if ago_ms is None else NOW_MS - ago_ms
    return Node(id=SenderId(f"!{number:08x}"), name="long", short_name=short_name, last_heard_ms=heard_ms)


def test_who_is_there_counts_whom_it_heard_and_names_the_latest() -> None:
    minute, day = 60_000, 86_400_000
    nodes = [
        node(1, 119 * minute, "RIVR"),
        node(2, 30_000, "RDGE"),
        node(3, 5 * minute),
        node(4, None, "NONE"),
        node(5, 0, "SELF"),
        node(6, 47 * 60 * minute, "MILL"),
        node(7, 3 * day, "FARM"),
    ]
    words = who_is_there(nodes, own="!00000005", now_ms=NOW_MS)
    assert words == "5 nodes, 2 in the last hour: RDGE now, !00000003 5 min, RIVR 119 min, MILL 47 h, FARM 3 d"


@given(st.lists(st.text(max_size=8), max_size=80), st.text(max_size=400))
def test_an_answer_always_fits_one_packet_on_one_line(names: list[str], words: str) -> None:
    nodes = [node(number, number * 1000, name) for number, name in enumerate(names, 1)]
    for said in (fitting(who_is_there(nodes, own="!0", now_ms=NOW_MS)), fitting(words)):
        assert len(said.encode()) <= MOST_BYTES
        assert len(said.splitlines()) <= 1
