# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.model.names: what strangers call themselves, harmless to read and compared as people see it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import likeness, plain_name

FAMILY = "\N{MAN}\u200d\N{WOMAN}\u200d\N{GIRL}"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Ridge\n\x1b[31m  relay", "Ridge [31m relay"),
        ("\u202egnp.exe", "gnp.exe"),
        ("Kim\u200b\u2066\ue000", "Kim"),
        (f"{FAMILY} hut", f"{FAMILY} hut"),
        ("\u3164\u2800 ", ""),
        ("\u200d", ""),
        ("e" + "\u0301" * 50 + "nd", "e" + "\u0301" * 3 + "nd"),
        ("Ngọc Điệp", "Ngọc Điệp"),
        ("x" * 99, "x" * 40),
    ],
)
def test_a_name_is_one_line_that_hides_and_turns_nothing(said: str, shown: str) -> None:
    assert plain_name(said) == shown


@given(st.text(max_size=300))
def test_whatever_a_name_is_made_of_it_steers_nothing_and_is_short(said: str) -> None:
    name = plain_name(said)

    assert len(name) <= 40
    assert not any(unicodedata.category(char) in ("Cc", "Co", "Cs", "Cn", "Zl", "Zp") for char in name)
    assert not any(unicodedata.category(char) == "Cf" and char not in "\u200c\u200d" for char in name)
    assert plain_name(name) == name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Kim's radio", "KIM's  Radio"),
        ("Kim's radio", "\u041aim's r\u0430di\u043e"),
        ("Kim", "Ki\u200dm"),
        ("Kim", "\uff2bim"),
        ("Hill 10", "HiIl lO"),
    ],
)
def test_names_that_people_take_for_one_another_are_alike(one: str, other: str) -> None:
    assert likeness(one) == likeness(other)


@pytest.mark.parametrize(("one", "other"), [("Kim", "Tim"), ("Hut 2", "Hut 3"), ("\N{MOUNTAIN}", "\N{SNOWMAN}")])
def test_names_that_look_different_are_not_alike(one: str, other: str) -> None:
    assert likeness(one) != likeness(other)
