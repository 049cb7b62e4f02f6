# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.permissions: who may do what."""

from __future__ import annotations

import pytest

from gateway.model import Level, SenderId
from gateway.permissions import Permissions

TABLE = {
    "*": Level.READ,
    "@*:example.org": Level.TRANSMIT,
    "@*:*.example.org": Level.COMMANDS,
    "@operator:example.org": Level.ADMIN,
    "!a1b2c301": Level.NONE,
    "!*": Level.TRANSMIT,
}


@pytest.mark.parametrize(
    ("sender", "level"),
    [
        ("@operator:example.org", Level.ADMIN),
        ("@ali:example.org", Level.TRANSMIT),
        ("@ali:sub.example.org", Level.COMMANDS),
        ("@ali:elsewhere.net", Level.READ),
        ("!a1b2c301", Level.NONE),
        ("!a1b2c302", Level.TRANSMIT),
        ("~nick@box", Level.READ),
    ],
)
def test_the_most_exact_pattern_decides(sender: str, level: Level) -> None:
    assert Permissions.of(TABLE).level_of(SenderId(sender)) is level


def test_the_order_of_the_file_decides_between_equally_long_patterns() -> None:
    first = Permissions.of({"@a*": Level.READ, "@*a": Level.ADMIN})

    assert first.level_of(SenderId("@aa")) is Level.READ


def test_whom_nothing_matches_may_do_nothing() -> None:
    assert Permissions.of({"@a:x": Level.ADMIN}).level_of(SenderId("@b:x")) is Level.NONE


def test_without_a_table_everyone_may_transmit_and_nobody_more() -> None:
    assert Permissions.open_to_all().level_of(SenderId("anyone")) is Level.TRANSMIT


def test_case_and_newlines_do_not_get_around_a_pattern() -> None:
    permissions = Permissions.of({"@*:example.org": Level.ADMIN})

    assert permissions.level_of(SenderId("@a:EXAMPLE.ORG")) is Level.NONE
    assert permissions.level_of(SenderId("@a:example.org\n")) is Level.NONE
    assert permissions.level_of(SenderId("x@a:example.org")) is Level.NONE


def test_however_many_ask_the_answer_is_the_same(monkeypatch):
    monkeypatch.setattr("gateway.permissions.MOST_KNOWN", 3)
    permissions = Permissions.of({"*": Level.READ, "@*:b": Level.TRANSMIT, "@ali:b": Level.ADMIN})
    for _ in range(2):
        assert [
            permissions.level_of(SenderId(who)) for who in ("@ali:b", "@bea:b", "!1", "@ali:b", "!2", "@cid:b")
        ] == [
            Level.ADMIN,
            Level.TRANSMIT,
            Level.READ,
            Level.ADMIN,
            Level.READ,
            Level.TRANSMIT,
        ]
