# SPDX-License-Identifier: GPL-3.0-or-later
"""Ghosts' names and pictures, and registrations."""

import re
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.matrix.appservice.avatars import SIDE_PX, avatar
from bridges.matrix.appservice.names import MAX_NICK_CHARS, bare_ghost, escaped, ghost_of, is_ghost, node_of
from bridges.matrix.appservice.registration import as_text, new_registration, read_registration
from gateway.model import AuthFailed, Sender, SenderId

LOCALPART = re.compile(r"[a-z0-9._=/+-]+")


def ghost(id: str, name: str = "Bea"):
    return ghost_of(Sender(id=SenderId(id), name=name))


@pytest.mark.parametrize(
    ("sender", "name", "localpart", "shown"),
    [
        ("!a1b2c301", "Bea", "mesh_a1b2c301", "Bea (mesh)"),
        ("!a1b2c301", "", "mesh_a1b2c301", "!a1b2c301 (mesh)"),
        ("~bea@hilltop", "Bea", "lan_bea", "Bea (LAN)"),
        ("~Bea_2@hilltop", "", "lan__bea__2", "Bea_2 (LAN)"),
        ("~ümit@a@b", "Ümit", "lan_=c3=bcmit", "Ümit (LAN)"),
        ("!a1b2c301", "a\u202eb\nc", "mesh_a1b2c301", "ab c (mesh)"),
        ("!a1b2c301", "\u202e", "mesh_a1b2c301", "? (mesh)"),
    ],
)
def test_a_ghost_is_named_after_whom_it_stands_for(sender, name, localpart, shown):
    made = ghost(sender, name)

    assert (localpart, shown) == (made.localpart, made.name)
    assert is_ghost(localpart)


@pytest.mark.parametrize(
    "sender",
    ["@ali:example.org", "hilltop", "api:script", "!A1B2C301", "!a1b2c3011", "!a1b2c301\n", "~@box", "~bea", ""],
)
def test_nobody_else_has_a_ghost(sender):
    assert ghost(sender) is None


@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=300))
def test_different_nicks_never_share_a_ghost(one, other):
    assert LOCALPART.fullmatch(escaped(one))
    assert len(escaped(one)) <= MAX_NICK_CHARS
    if one.encode("utf-8", "replace") != other.encode("utf-8", "replace"):
        assert escaped(one) != escaped(other)


@given(st.text(max_size=400))
def test_whatever_a_person_is_called_the_name_is_one_line_that_homeservers_take(name):
    shown = ghost("!a1b2c301", name).name

    assert len(shown) <= 256
    assert "\n" not in shown
    assert shown.endswith(" (mesh)")


def test_a_ghost_of_which_only_the_id_is_known_has_the_node_for_a_name():
    assert bare_ghost("mesh_a1b2c301").name == "!a1b2c301 (mesh)"
    assert bare_ghost("mesh_a1b2") is None
    assert bare_ghost("meshbot") is None
    assert node_of("mesh_a1b2c301") == "!a1b2c301"
    assert node_of("lan_bea") is None


def test_a_picture_is_a_whole_png_the_same_each_time_and_anothers_is_another():
    picture = avatar("mesh_a1b2c301")

    assert picture == avatar("mesh_a1b2c301")
    assert picture != avatar("mesh_a1b2c302")
    assert len(picture) < 1_000
    data = picture.index(b"IDAT")
    rows = zlib.decompress(picture[data + 4 : picture.index(b"IEND") - 8])
    assert len(rows) == SIDE_PX * (1 + (SIDE_PX + 7) // 8)


def test_a_registration_is_read_back_as_it_was_written(tmp_path: Path):
    file = tmp_path / "registration.yaml"
    file.write_text(as_text(new_registration(server_name="gw.test", bot="crossband", url="http://127.0.0.1:1")))
    read = read_registration(file)

    assert read.url == "http://127.0.0.1:1"
    assert len(read.as_token) >= 64
    assert read.as_token != read.hs_token
    assert read.as_token not in repr(read)
    for ours in ("@crossband:gw.test", "@crossband-b:gw.test", "@mesh_a1b2c301:gw.test", "@lan_bea:gw.test"):
        assert read.covers(ours)
    for other in ("@crossbandfan:gw.test", "@ali:gw.test", "@crossband:gwxtest", "@mesh:gw.test"):
        assert not read.covers(other)


def test_two_registrations_have_no_secret_in_common():
    one, other = (new_registration(server_name="gw.test", bot="crossband", url=None) for _ in "ab")

    for key in ("as_token", "hs_token", "sender_localpart"):
        assert one[key] != other[key]


@pytest.mark.parametrize(
    "words",
    ["", "id: crossband\n", "[]", '{"id": "x", "as_token": "a"}', '{"id": 1, "as_token": "a", "hs_token": "b"}'],
)
def test_what_is_no_registration_is_refused_with_the_mend(tmp_path: Path, words: str):
    file = tmp_path / "registration.yaml"
    file.write_text(words)
    with pytest.raises(AuthFailed, match="crossband matrix registration"):
        read_registration(file)
    with pytest.raises(AuthFailed, match="No such file"):
        read_registration(tmp_path / "nothing")
