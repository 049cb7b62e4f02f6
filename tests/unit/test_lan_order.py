# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order a box that was away gets what it lacks, however many exchanges that takes."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridges.lan.log import Log
from bridges.lan.membership import Add, root_of
from bridges.lan.store import Store

NOW = 1_790_000_000_000
KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2)]
ROOT = root_of(KEYS[0].public_key(), "a")


def log_of(number: int, start: int, store: Store | None = None) -> Log:
    return Log(store or Store(":memory:"), KEYS[number], ROOT, start=start)


def caught_up(log: Log, others: Log, at_once: int) -> list[str]:
    """Take from another box what is lacking, a few at a time; return it in the order it came."""
    before = log.last_arrival
    while offered := others.delta(log.frontier(), limit=at_once):
        assert len(offered) <= at_once
        log.take(offered, NOW)
    return [each.event.native for each in log.news(before, 1000) if each.event.native]


@pytest.mark.parametrize("starts", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_what_a_box_says_over_several_starts_comes_in_the_order_it_was_said(starts: tuple[int, ...]) -> None:
    store = Store(":memory:")
    said = []
    for start in starts:
        a = log_of(0, start, store)
        for _ in range(20):
            said.append(f"mx:${len(said)}")
            assert a.append(said[-1], "{}", NOW + len(said))
    assert caught_up(log_of(1, 9), log_of(0, 7, store), 7) == said


def test_whom_two_boxes_hear_in_turn_comes_in_the_order_it_was_said() -> None:
    a, b = log_of(0, 1), log_of(1, 2)
    a.state(Add(key=KEYS[1].public_key().public_bytes_raw(), name="b"), NOW)
    b.take_statements(a.statements())
    said = [f"mx:${number}" for number in range(30)]
    for number, native in enumerate(said):
        speaking, listening = (a, b) if number % 2 else (b, a)
        assert speaking.append(native, "{}", NOW + number)
        listening.take(speaking.delta(listening.frontier()), NOW + number)
    c = log_of(1, 3)
    c.take_statements(a.statements())
    assert caught_up(c, a, 7) == said
