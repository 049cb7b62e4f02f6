# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.matrix.mentions import MOST_NAMED, named_in, plain

KNOWN = {"@ali:gw.test": "Ali", "@bea:gw.test:8448": "Bea of the hill\n"}


def said(text: str, mentioned: tuple[str, ...] = ()) -> str:
    return plain(text, lambda user: KNOWN.get(user, ""), mentioned)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[Ali](https://matrix.to/#/@ali:gw.test): come", "Ali: come"),
        ("[Ali](<https://matrix.to/#/%40ali%3Agw.test>) come", "Ali come"),
        ("<https://matrix.to/#/@ali:gw.test>, come", "Ali, come"),
        ("see https://matrix.to/#/@ali:gw.test?via=gw.test.", "see Ali."),
        ("see matrix:u/ali:gw.test!", "see Ali!"),
        ("@ali:gw.test: come", "Ali: come"),
        ("(@bea:gw.test:8448)", "(Bea of the hill)"),
        ("[Bank](https://matrix.to/#/@ali:gw.test)", "Ali"),
        ("[Eve](https://matrix.to/#/@eve:far.test)", "Eve"),
        ("https://matrix.to/#/@eve:far.test", "eve"),
        ("write to @eve:far.test", "write to @eve:far.test"),
        ("[the town](https://matrix.to/#/#town:gw.test?via=gw.test)", "#town:gw.test"),
        ("in https://matrix.to/#/%23town:gw.test/$event", "in #town:gw.test"),
        ("in matrix:r/town:gw.test", "in #town:gw.test"),
        ("https://matrix.to/#/!opaque/$event", "https://matrix.to/#/!opaque/$event"),
        ("https://matrix.to.evil.test/#/@ali:gw.test", "https://matrix.to.evil.test/#/@ali:gw.test"),
        ("https://evil.test/https://matrix.to/#/@ali:gw.test", "https://evil.test/https://matrix.to/#/@ali:gw.test"),
        ("https://matrix.to@evil.test/#/@ali:gw.test", "https://matrix.to@evil.test/#/@ali:gw.test"),
        ("mail me@ali:gw.test", "mail me@ali:gw.test"),
        ("[a](https://matrix.to/#/@:gw.test)", "a"),
        ("https://matrix.to/#/@:gw.test", "https://matrix.to/#/@:gw.test"),
    ],
)
def test_links_to_people_and_rooms_are_names(text: str, words: str) -> None:
    assert said(text) == words


def test_an_id_of_somebody_unknown_who_is_spoken_to_is_their_localpart() -> None:
    assert said("@eve:far.test: come", ("@eve:far.test",)) == "eve: come"


@given(st.text(alphabet="[](<>)@:#/!$.matrix to%u?", max_size=300) | st.text(max_size=100))
def test_text_of_any_shape_is_text(text: str) -> None:
    assert isinstance(said(text), str)


@pytest.mark.parametrize("bomb", ["[", "[a](", "@a", "@a:b.", "https://matrix.to/#/", "<", "matrix:u/", "[](matrix:"])
def test_a_bomb_of_halves_is_left_as_it_is(bomb: str) -> None:
    text = "matrix" + bomb * (64_000 // len(bomb))
    assert said(text) == text


NAMES = {"Ali": "@ali:gw.test", "Ali B": "@alib:gw.test", "Ünal": "@unal:gw.test"}


@pytest.mark.parametrize(
    ("text", "users"),
    [
        ("@Ali come", ("@ali:gw.test",)),
        ("@Ali B come", ("@alib:gw.test",)),
        ("come @Ünal, @Ali!", ("@unal:gw.test", "@ali:gw.test")),
        ("@Ali @Ali", ("@ali:gw.test",)),
        ("@ali", ()),
        ("@Alison", ()),
        ("mail x@Ali", ()),
        ("Ali", ()),
        ("@room", ()),
        ("@", ()),
    ],
)
def test_only_exactly_a_name_of_the_room_speaks_to_somebody(text: str, users: tuple[str, ...]) -> None:
    assert named_in(text, NAMES) == users


def test_a_text_speaks_to_a_few_people_only() -> None:
    names = {f"n{number:02}": f"@{number}:gw.test" for number in range(50)}
    assert len(named_in(" ".join(f"@{name}" for name in names), names)) == MOST_NAMED
