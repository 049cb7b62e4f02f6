# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridges.matrix import nicks as module
from bridges.matrix.members import Members
from bridges.matrix.names import ON_AIR_BYTES
from bridges.matrix.nicks import Nicks
from bridges.matrix.people import People
from gateway.model import Declined

ALI, ALSO_ALI, BEA = "@ali:gw.test", "@ali:far.test", "@bea:gw.test"


def member(user: str, name: str, membership: str = "join") -> dict[str, Any]:
    content = {"displayname": name, "membership": membership}
    return {"type": "m.room.member", "state_key": user, "content": content}


@pytest.fixture
def members() -> Members:
    members = Members()
    for user, name in ((ALI, "Ali"), (ALSO_ALI, "ali"), (BEA, "Bea")):
        members.learn("!a", member(user, name))
    return members


@pytest.fixture
def people(members: Members, tmp_path: Path) -> People:
    return People(members, tmp_path / "nicks.json")


def shown(people: People, user: str) -> str:
    return people.on_air("!a", user, people.name("!a", user))


def test_a_chosen_name_is_used_and_survives_a_restart(people: People, members: Members, tmp_path: Path) -> None:
    assert people.nicks.set(ALI, " Ford\n\u202e ") == "On air you are Ford from now on."
    restarted = People(members, tmp_path / "nicks.json")
    assert (shown(restarted, ALI), shown(restarted, ALSO_ALI)) == ("Ford", "ali"), "and nobody is Ali twice now"
    assert restarted.nicks.set(ALI, "") == "On air you go by your own name again."
    assert restarted.nicks.set(ALI, "") == "On air you go by your own name."
    assert shown(restarted, ALI) == "Ali/gwte"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a" * (ON_AIR_BYTES + 1), "longer than"),
        ("🦊" * 4, "longer than"),
        ("🦊", "a letter or a digit"),
        ("Ali:", "no colon"),
        ("+4179123456", "phone number"),
        ("bea", "somebody else is"),
        ("Be\u200da", "somebody else is"),
        ("Ford", "somebody else is"),
    ],
)
def test_a_name_that_misleads_is_declined(people: People, name: str, why: str) -> None:
    people.nicks.set(BEA, "Ford")
    people.nicks.set(BEA, "")
    people.nicks.set(ALSO_ALI, "Ford")
    with pytest.raises(Declined, match=why):
        people.nicks.set(ALI, name)
    assert people.nicks.of(ALI) == ""


@pytest.mark.parametrize("name", ["Bea:", "Bea\uff1a", "Bea : ", ":Bea", "Bea\ua789"])
def test_a_colon_in_a_name_makes_nobody_another(people: People, members: Members, name: str) -> None:
    members.learn("!a", member("@eve:gw.test", name))
    assert (shown(people, BEA), shown(people, "@eve:gw.test")) == ("Bea/pcmu", "Bea/5ymq")


def test_a_name_that_ends_like_one_that_was_told_apart_is_no_such(people: People, members: Members) -> None:
    members.learn("!a", member("@ann:gw.test", "Bea"))
    members.learn("!a", member("@eve:gw.test", "Bea/pcmu"))
    members.learn("!a", member("@sam:gw.test", "Sam and/or Jo"))
    assert (shown(people, BEA), shown(people, "@eve:gw.test")) == ("Bea/pcmu", "Bea-pcmu")
    assert shown(people, "@sam:gw.test") == "Sam and/or Jo"


def test_a_name_of_somebody_in_another_room_is_free(people: People, members: Members) -> None:
    members.learn("!b", member("@cyd:gw.test", "Cyd"))
    assert people.nicks.set(ALI, "Cyd")


def test_who_takes_a_chosen_name_for_their_own_later_is_told_apart_from_its_holder(
    people: People, members: Members
) -> None:
    people.nicks.set(ALI, "Ford")
    members.learn("!a", member(BEA, "Ford"))
    assert {shown(people, ALI), shown(people, BEA)} == {"Ford/ali", "Ford/bea"}


def test_who_left_the_room_is_nobodys_namesake(people: People, members: Members) -> None:
    assert shown(people, ALI) == "Ali/gwte"
    members.learn("!a", member(ALSO_ALI, "ali", "leave"))
    assert shown(people, ALI) == "Ali"


def test_no_more_names_are_kept_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_NICKS", 2)
    nicks = Nicks(tmp_path / "nicks.json")
    nicks.set(ALI, "One")
    nicks.set(BEA, "Two")
    with pytest.raises(Declined, match="no more names"):
        nicks.set(ALSO_ALI, "Three")
    nicks.set(BEA, "Four")
    assert (nicks.of(BEA), nicks.holder("two"), nicks.holder("four")) == ("Four", "", BEA)


def test_a_name_that_cannot_be_kept_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    nicks = Nicks(tmp_path / "file" / "nicks.json")
    with pytest.raises(Declined, match="can't be kept"):
        nicks.set(ALI, "Ford")
    assert nicks.of(ALI) == ""


@pytest.mark.parametrize("kept", ["", "[]", '{"nicks": 3}', '{"nicks": {"x": "y", "@a:b": 3, "@c:d": "\\n"}}'])
def test_a_file_of_any_shape_is_an_empty_one(tmp_path: Path, kept: str) -> None:
    (tmp_path / "nicks.json").write_text(kept)
    nicks = Nicks(tmp_path / "nicks.json")
    assert (nicks.of("x"), nicks.of("@a:b"), nicks.of("@c:d")) == ("", "", "")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_whatever_is_asked_for_a_name_stays_one_short_line(tmp_path: Path, name: str) -> None:
    nicks = Nicks(tmp_path / "nicks.json")
    try:
        nicks.set(ALI, name)
    except Declined:
        return
    assert len(nicks.of(ALI).encode()) <= ON_AIR_BYTES
    assert "\n" not in nicks.of(ALI)
