# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.permissions: who may do what."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.model import Level, SenderId
from gateway.permissions import Layered, Permissions

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


# What chats lay over the file's.


def layered(file: dict[str, Level], chats: dict[str, Level]) -> Layered:
    return Layered(file=Permissions.of(file), chats=Permissions.of(chats))


@pytest.mark.parametrize(
    ("sender", "level"),
    [
        ("@operator:example.org", Level.ADMIN),
        ("!a1b2c301", Level.NONE),
        ("@ali:example.org", Level.COMMANDS),
        ("@bea:example.org", Level.READ),
        ("@ali:sub.example.org", Level.COMMANDS),
        ("@ali:elsewhere.net", Level.NONE),
        ("!a1b2c302", Level.TRANSMIT),
    ],
)
def test_a_chat_changes_whom_the_file_does_not_name(sender: str, level: Level) -> None:
    chats = {
        "@operator:example.org": Level.NONE,
        "!a1b2c301": Level.ADMIN,
        "@ali:example.org": Level.COMMANDS,
        "@*:example.org": Level.READ,
        "*": Level.NONE,
    }

    assert layered(TABLE, chats).level_of(SenderId(sender)) is level


def test_an_admin_by_a_pattern_of_the_file_stays_one_whatever_chats_say() -> None:
    both = layered({"@*:ops.org": Level.ADMIN, "*": Level.READ}, {"@a:ops.org": Level.NONE, "@*:ops.org": Level.READ})

    assert both.level_of(SenderId("@a:ops.org")) is Level.ADMIN
    assert not both.may_change("@a:ops.org")
    assert not both.may_change("@*:ops.org")
    assert both.may_change("@*:ops.*")


def test_every_rule_is_told_with_whose_it_is_and_whether_another_decides_in_its_place() -> None:
    both = layered(
        {"@op:x": Level.ADMIN, "@*:x": Level.READ, "*": Level.READ},
        {"@op:x": Level.NONE, "@ali:x": Level.TRANSMIT, "@*:x": Level.TRANSMIT},
    )

    assert [(one.pattern, one.level.name, one.in_chat, one.overruled) for one in both.rules()] == [
        ("@op:x", "ADMIN", False, False),
        ("@*:x", "READ", False, True),
        ("*", "READ", False, False),
        ("@op:x", "NONE", True, True),
        ("@ali:x", "TRANSMIT", True, False),
        ("@*:x", "TRANSMIT", True, False),
    ]


IDS = st.text("ab", min_size=1, max_size=3)
TABLES = st.dictionaries(st.text("ab*?", min_size=1, max_size=4), st.sampled_from(Level), max_size=6)


@given(file=TABLES, chats=TABLES, sender=IDS)
def test_no_chat_takes_anything_from_the_files_ids_and_admins(file, chats, sender) -> None:
    before = Permissions.of(file).level_of(SenderId(sender))
    after = layered(file, chats).level_of(SenderId(sender))

    assert after is before or (sender not in file and before is not Level.ADMIN)
    assert layered(file, {}).level_of(SenderId(sender)) is before


@given(file=TABLES, chats=TABLES, sender=IDS)
@example(file={"??": Level.NONE, "?a": Level.ADMIN}, chats={"?a": Level.NONE}, sender="aa")
def test_the_rule_that_is_said_to_decide_decides_and_is_not_said_to_be_overruled(file, chats, sender) -> None:
    both = layered(file, chats)
    rule = both.rule_of(SenderId(sender))

    assert both.level_of(SenderId(sender)) is (Level.NONE if rule is None else rule.level)
    told = {(one.pattern, one.level, one.in_chat): one.overruled for one in both.rules()}
    assert rule is None or told[rule.pattern, rule.level, rule.in_chat] is False


@given(file=TABLES, chats=TABLES, sender=IDS)
def test_a_chats_rule_that_is_overruled_changes_nothing(file, chats, sender) -> None:
    both = layered(file, chats)
    vain = {one.pattern for one in both.rules() if one.in_chat and one.overruled}
    without = layered(file, {pattern: level for pattern, level in chats.items() if pattern not in vain})

    assert both.level_of(SenderId(sender)) is without.level_of(SenderId(sender))


@pytest.mark.parametrize(
    ("table", "level"),
    [
        ({"*": Level.TRANSMIT}, Level.READ),
        ({"*": Level.NONE}, Level.NONE),
        ({"?li@*": Level.ADMIN}, Level.NONE),
        ({"*li@hilltop": Level.COMMANDS}, Level.READ),
        ({"*": Level.READ, "~*": Level.TRANSMIT}, Level.TRANSMIT),
        ({"*": Level.READ, "~ali@hilltop": Level.TRANSMIT}, Level.TRANSMIT),
        ({"~ali@ridge": Level.TRANSMIT}, Level.NONE),
    ],
)
def test_whom_no_network_vouches_for_keys_a_radio_by_a_rule_about_them_alone(
    table: dict[str, Level], level: Level
) -> None:
    ali = SenderId("~ali@hilltop")
    assert Permissions.of(table).level_of(ali) is level
    assert Layered(file=Permissions.of(table)).level_of(ali) is level
    assert Layered(file=Permissions(), chats=Permissions.of(table)).level_of(ali) is level


def test_without_a_table_radio_and_matrix_transmit_and_a_chat_page_reads() -> None:
    everyone = Permissions.open_to_all()
    assert [everyone.level_of(SenderId(one)).name for one in ("@ali:x", "!0000beef", "~ali@x")] == [
        "TRANSMIT",
        "TRANSMIT",
        "READ",
    ]
