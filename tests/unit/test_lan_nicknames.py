# SPDX-License-Identifier: GPL-3.0-or-later
"""bridges.lan.nicknames: what people at a page may be called."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridges.lan import holders
from bridges.lan.hall import Person
from bridges.lan.holders import Holders
from bridges.lan.nicknames import is_reserved, looks_like, why_malformed
from gateway.model import SenderId


@pytest.mark.parametrize(
    "nick",
    ["", " ", "a b", "a@b", "~a", "a/b", "op:", "x" * 25, "a\u202eb", "a\nb", "a\u200bb", "\u3164", "..."],
)
def test_names_that_nobody_can_read_or_that_look_like_ids_are_none(nick: str) -> None:
    assert why_malformed(nick)


@pytest.mark.parametrize("nick", ["ali", "Åsa", "Оля", "ali_2", "李", "🦊", "x" * 24])
def test_names_of_people_everywhere_are_names(nick: str) -> None:
    assert why_malformed(nick) is None
    assert not is_reserved(nick, ["hilltop"])


@pytest.mark.parametrize(
    "nick",
    [
        "admin",
        "ADMIN",
        "аdmin",
        "adm1n",
        "admin_",
        "admin2",
        "a.d.m.i.n",
        "0perator",
        "Gateway",
        "hilltop",
        "hi11top",
        "admin\ufe00",
        "adm\U000e0100in",
        "ad\u180bmin",
    ],
)
def test_who_runs_a_box_is_nobody_s_nickname_nor_what_looks_so(nick: str) -> None:
    assert is_reserved(nick, ["hilltop"])


def test_a_look_alike_is_found_in_other_scripts() -> None:
    assert looks_like("аli", ["bea", "ali"])  # a Cyrillic a
    assert not looks_like("al", ["ali"])


def person(nick: str, key: str) -> Person:
    return Person(id=SenderId(f"~{nick}@hilltop"), nick=nick, key=key)


def test_past_the_bound_the_oldest_nickname_goes_of_which_nothing_is_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holders, "MOST_HELD", 2)
    held = Holders(tmp_path / "names.db")
    held.open()
    for at, nick in enumerate(("decided", "old", "new")):
        held.take(person(nick, nick), None, at, keep=lambda nick: nick == "decided")
    held.close()
    again = Holders(tmp_path / "names.db")
    again.open()
    for one in (held, again):
        assert [one.of(nick) is not None for nick in ("decided", "old", "new")] == [True, False, True]
