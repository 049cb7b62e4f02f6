# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bridges.matrix.names import ON_AIR_BYTES, look_on_air, masked, shortened, told_apart

NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40)
USERS = st.from_regex(r"@[a-z0-9._=/+-]{1,12}:[a-z]{1,8}\.(org|net)", fullmatch=True)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("+41 79 123 45 67 (WA)", "+41…67"),
        ("+41791234567", "+41…67"),
        ("Ali +41-79-123-45-67 (Signal)", "Ali +41…67"),
        ("079 123 45 67", "07…67"),
        ("0041 (0)79/123.45.67", "00…67"),
        ("whatsapp_41791234567", "whatsapp_41…67"),
        ("\uff0b\u0664\u0661 \u0667\u0669 \u0661\u0662\u0663 \u0664\u0665", "+\u0664\u0661…\u0664\u0665"),
        ("+4\u200d1\u200d7\u200d9\u200d1\u200d2\u200d3\u200d4", "+41…34"),
        ("Ali (WA)", "Ali (WA)"),
        ("Room 101", "Room 101"),
        ("Unit 2024-11", "Unit 2024-11"),
        ("K9", "K9"),
    ],
)
def test_a_phone_number_in_a_name_keeps_its_ends_only(name: str, shown: str) -> None:
    assert masked(name) == shown


@given(st.text(alphabet="0123456789+ -.()abü", max_size=60) | NAMES)
def test_no_name_keeps_a_number_to_call_and_none_is_masked_twice(name: str) -> None:
    shown = masked(name)
    assert not re.search(r"\d{9}|\+\d{7}", shown)
    assert masked(shown) == shown
    assert shown == name or "…" in shown


@given(NAMES)
@example("Familie 👨\u200d👩\u200d👧")
@example("Ali\u0301\u0301\u0301\u0301\u0301\u0301")
def test_a_short_name_fits_and_ends_in_no_half_a_character(name: str) -> None:
    short = shortened(name)
    assert len(short.encode()) <= ON_AIR_BYTES
    assert name.strip().startswith(short) or name.startswith(short)
    assert short[-1:] not in ("\u200d", "\u200c")


def test_a_name_that_nobody_else_has_stays_as_it_is() -> None:
    assert told_apart("@ali:a.org", "Alexander the Great", ()) == "Alexander the Great"


@pytest.mark.parametrize(
    ("users", "name", "shown"),
    [
        (("@ali:a.org", "@b.ali:b.org"), "Ali B", ("Ali B/ali", "Ali B/bali")),
        (("@ali:example.org", "@ali:town.net"), "Ali", ("Ali/exam", "Ali/town")),
        (("@ali:a.org", "@alice.x:b.org"), "Alexander the Great", ("Alexande/ali", "Alexand/alic")),
        (("@ali:a.org", "@bea:b.org"), "Ali", ("Ali/aorg", "Ali/borg")),
    ],
)
def test_two_people_with_one_name_get_letters_of_their_ids(users: tuple[str, ...], name: str, shown: object) -> None:
    assert tuple(told_apart(user, name, users) for user in users) == shown


@given(st.sets(USERS, min_size=2, max_size=6), NAMES, st.randoms())
def test_letters_tell_everybody_apart_whoever_asks_in_whatever_order(users: set[str], name: str, random: Any) -> None:
    assume(shortened(name))
    order = sorted(users)
    shown = {user: told_apart(user, name, users) for user in order}
    random.shuffle(order)
    assert shown == {user: told_apart(user, name, [*order, *order]) for user in order}
    assert all(len(one.encode()) <= ON_AIR_BYTES for one in shown.values())
    assert len(set(shown.values())) == len(users)


@pytest.mark.parametrize("other", ["ali", "ALI", "Al\u200di", "\uff21li"])
def test_names_that_look_the_same_on_air_are_the_same(other: str) -> None:
    assert look_on_air(other) == look_on_air("Ali")
