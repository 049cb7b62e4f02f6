# SPDX-License-Identifier: GPL-3.0-or-later
"""bridges.matrix.files: which events bring a file, which link is which, and who gets one."""

from __future__ import annotations

import base64
import random
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.matrix.client import Client
from bridges.matrix.config import check
from bridges.matrix.convert import Reading, to_message
from bridges.matrix.files.attached import Attached, Cipher, attached
from bridges.matrix.files.config import FilesConfig
from bridges.matrix.files.links import FileLinks
from bridges.matrix.files.table import FileTable
from bridges.matrix.notices import words
from gateway.model import Address, BridgeContext, BridgeName, ConfigError, Message, Text

KEY, IV, SHA = bytes(range(32)), b"\x01" * 8 + bytes(8), b"\x02" * 32


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def encrypted(**changes: Any) -> dict[str, Any]:
    file = {
        "url": "mxc://gw.test/AbC_-9",
        "v": "v2",
        "key": {"kty": "oct", "alg": "A256CTR", "k": b64(KEY).replace("+", "-").replace("/", "_"), "ext": True},
        "iv": b64(IV),
        "hashes": {"sha256": b64(SHA)},
    }
    return {"msgtype": "m.image", "body": "a", "file": file | changes}


def event(content: Any, type_: str = "m.room.message", event_id: str = "$1") -> dict[str, Any]:
    return {"type": type_, "event_id": event_id, "sender": "@ali:gw.test", "content": content}


PICTURE = {
    "msgtype": "m.image",
    "body": "cat.png",
    "url": "mxc://gw.test:8448/AbC",
    "info": {"mimetype": "image/png", "size": 1_234_567},
}
CAT = Attached(event_id="$1", server="gw.test:8448", media_id="AbC", mimetype="image/png", size=1_234_567)


def test_a_file_is_known_by_where_it_is() -> None:
    assert attached(event(PICTURE)) == CAT
    sticker = attached(event({"body": "grin", "url": "mxc://gw.test/s"}, "m.sticker"))
    assert sticker == Attached(event_id="$1", server="gw.test", media_id="s")


def test_an_encrypted_file_is_known_with_its_key() -> None:
    found = attached(event(encrypted()))
    assert found is not None
    assert found.cipher == Cipher(key=KEY, iv=IV, sha256=SHA)
    assert b64(KEY) not in repr(found)
    assert repr(KEY) not in repr(found)


@pytest.mark.parametrize(
    "content",
    [
        {"msgtype": "m.text", "body": "a", "url": "mxc://gw.test/a"},
        {"msgtype": "m.location", "body": "a", "url": "mxc://gw.test/a"},
        PICTURE | {"url": "https://gw.test/a"},
        PICTURE | {"url": "mxc://gw.test/../../etc"},
        PICTURE | {"url": "mxc://gw.test/a?b"},
        PICTURE | {"url": "mxc://gw.test"},
        PICTURE | {"url": 7},
        PICTURE | {"m.relates_to": {"rel_type": "m.replace", "event_id": "$0"}},
        encrypted(v="v1"),
        encrypted(iv="short"),
        encrypted(hashes={}),
        encrypted(key={"kty": "oct", "alg": "A128CTR", "k": b64(KEY)}),
        encrypted(key={"kty": "oct", "alg": "A256CTR", "k": "*" * 43}),
        encrypted(url=None),
        None,
    ],
)
def test_what_brings_no_file_that_can_be_fetched_has_none(content: Any) -> None:
    assert attached(event(content)) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["msgtype", "url", "file", "info", "m.relates_to"]), json_values))
def test_no_event_makes_looking_for_a_file_fail(content: Any) -> None:
    attached(event({"msgtype": "m.image"} | content))


def test_the_same_event_keeps_its_link_and_another_has_another(tmp_path: Path) -> None:
    table = FileTable(tmp_path / "files.db")
    first = table.keep(CAT, until_ms=100, now_ms=0)
    other = Attached(event_id="$2", server="gw.test", media_id="x", cipher=Cipher(key=KEY, iv=IV, sha256=SHA))
    second = table.keep(other, until_ms=100, now_ms=0)

    assert table.keep(CAT, until_ms=200, now_ms=50) == first != second
    assert (table.find(first, now_ms=99), table.find(second, now_ms=99)) == (CAT, other)
    assert len(first) == 12
    assert stat.S_IMODE((tmp_path / "files.db").stat().st_mode) == 0o600


def test_a_link_ends_with_its_time_and_with_its_event(tmp_path: Path) -> None:
    table = FileTable(tmp_path / "files.db")
    table.forget("$nothing")
    ident = table.keep(CAT, until_ms=100, now_ms=0)

    assert table.find(ident, now_ms=99) == CAT
    assert table.find(ident, now_ms=100) is None
    table.forget("$1")
    assert table.find(ident, now_ms=50) is None
    assert table.find("nosuchlink00", now_ms=0) is None


def test_past_the_limit_the_link_that_nobody_used_for_longest_goes(tmp_path: Path) -> None:
    table = FileTable(tmp_path / "files.db", limit=2)

    def keep(number: int) -> str:
        return table.keep(Attached(event_id=f"${number}", server="s", media_id="m"), until_ms=9, now_ms=0)

    first, second = keep(1), keep(2)
    assert table.find(first, now_ms=0) is not None
    third = keep(3)

    assert [table.find(each, now_ms=0) is not None for each in (first, second, third)] == [True, False, True]


class StillClock:
    def now_ms(self) -> int:
        return 1_000

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


def links_in(folder: Path, counts: list[str] | None = None, **config: Any) -> FileLinks:
    context = BridgeContext(
        name=BridgeName("home"),
        table={},
        state_dir=folder,
        clock=StillClock(),
        random=random.Random(1),
        count=([] if counts is None else counts).append,
    )
    return FileLinks(Client("http://gw.test", "@bot:gw.test"), context, FilesConfig(url="http://hilltop.lan", **config))


def read(given: dict[str, Any]) -> Message:
    address = Address(BridgeName("home"), "#town:gw.test")
    reading = Reading(room=address, user_id="@bot:gw.test", received_ms=0, name_of=lambda _: "Ali")
    message = to_message(given, reading)
    assert isinstance(message, Message)
    return message


async def test_a_picture_gets_a_link_beside_its_words_and_words_get_none(tmp_path: Path) -> None:
    links = links_in(tmp_path)
    linked = (await links.linked(read(event(PICTURE)), event(PICTURE))).content
    words = event({"msgtype": "m.text", "body": "hello"})

    assert isinstance(linked, Text)
    assert linked.body == "[image 1.2 MB] cat.png"
    assert linked.link.startswith("http://hilltop.lan/f/")
    assert (await links.linked(read(words), words)).content == Text(body="hello")
    assert b"cat" not in (tmp_path / "files.db").read_bytes()


async def test_a_file_that_says_it_is_too_large_gets_no_link(tmp_path: Path) -> None:
    linked = await links_in(tmp_path, max_bytes=1_000_000).linked(read(event(PICTURE)), event(PICTURE))
    assert linked.content == Text(body="[image 1.2 MB] cat.png")


async def test_taking_a_file_back_ends_its_link(tmp_path: Path) -> None:
    links = links_in(tmp_path)
    await links.linked(read(event(PICTURE)), event(PICTURE))
    back = event({"redacts": "$1"}, "m.room.redaction", "$2")
    await links.linked(read(back), back)
    with sqlite3.connect(tmp_path / "files.db") as database:
        assert database.execute("SELECT count(*) FROM files").fetchone() == (0,)
    database.close()


async def test_a_table_that_is_broken_costs_the_link_and_not_the_words(tmp_path: Path) -> None:
    (tmp_path / "files.db").write_bytes(b"no database at all, but long enough to look like one" * 100)
    counts: list[str] = []
    said = await links_in(tmp_path, counts).linked(read(event(PICTURE)), event(PICTURE))

    assert said.content == Text(body="[image 1.2 MB] cat.png")
    assert counts == ["matrix_file_unlinked"]


TABLE = {
    "kind": "matrix",
    "homeserver": "https://matrix.example.org",
    "user_id": "@crossband:example.org",
    "access_token_file": "/t",
    "listen": "0.0.0.0:18031",
    "files": {"url": "http://hilltop.lan:18031"},
}


def test_a_bridge_that_listens_holds_its_address_and_files_have_a_time_and_a_size() -> None:
    files = {"url": "http://hilltop.lan:18031/", "keep": "2d", "max_size": 1_000}
    assert check(TABLE | {"files": files}) == {"matrix:@crossband:example.org", "tcp:0.0.0.0:18031"}
    read = FilesConfig.from_table(files)
    assert read == FilesConfig(url="http://hilltop.lan:18031", keep_s=172_800, max_bytes=1_000)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"listen": "18031"}, "listen"),
        ({"listen": ""}, "listen"),
        ({"files": 1}, "files"),
        ({"files": {}}, "files.url"),
        ({"files": {"url": "hilltop.lan"}}, "files.url"),
        ({"files": {"url": "http://user@hilltop.lan"}}, "files.url"),
        ({"files": {"url": "http://" + "h" * 80}}, "files.url"),
        ({"files": {"url": "http://h", "keep": "7"}}, "files.keep"),
        ({"files": {"url": "http://h", "max_size": True}}, "files.max_size"),
        ({"files": {"url": "http://h", "link": "x"}}, "files.link"),
    ],
)
def test_a_wrong_setting_is_named(change: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(TABLE | change)
    assert caught.value.key == key


def test_files_without_an_address_and_an_address_without_files_are_refused() -> None:
    with pytest.raises(ConfigError, match="address to serve them on"):
        check({key: value for key, value in TABLE.items() if key != "listen"})
    with pytest.raises(ConfigError, match="nothing would be served"):
        check({key: value for key, value in TABLE.items() if key != "files"})


def test_a_room_is_told_that_its_files_get_links() -> None:
    on_air = frozenset({"radio/LongFast"})
    assert "link" not in words(on_air)
    assert "a link to each" in words(on_air, has_links=True)
