# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.matrix.plain import MAX_NAME_BYTES, clean, cut, from_html, one_line, valid_id

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Ali", "Ali"),
        ("  Ali \n\t Baba\u2028\u2029", "Ali Baba"),
        ("Ali\u202egnp.exe\u2066\u200f", "Alignp.exe"),
        ("\u200b\x00\x07", ""),
        ("👩\u200d🚒 Ана", "👩\u200d🚒 Ана"),
        ("half \ud83d", "half \ufffd"),
        ("é" * 10_000, "é" * 127),
    ],
)
def test_a_name_is_one_short_line(name: str, shown: str) -> None:
    assert one_line(name) == shown


@given(ANY_TEXT)
def test_no_name_can_break_out_of_its_line(name: str) -> None:
    shown = one_line(name)
    assert len(shown.encode()) <= MAX_NAME_BYTES
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cs", "Co", "Zl", "Zp"}
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@given(ANY_TEXT, st.integers(0, 40))
def test_cutting_keeps_whole_characters(text: str, size: int) -> None:
    cleaned = clean(text)
    assert cleaned.startswith(cut(cleaned, size))
    assert len(cut(cleaned, size).encode()) <= size


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        ("<mx-reply><blockquote>old</blockquote></mx-reply>new", "new"),
        ("<strong data-mx-profile-fallback>Bea: </strong>hi", "hi"),
        ("<ul><li>one</li><li>two</li></ul>", "- one\n- two"),
        ('<a href="https://x">link</a> <img src="mxc://x" alt=":wave:">', "link :wave:"),
        ("<script>alert(1)</script>ok<style>p{}</style>", "ok"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("1 &lt; 2 &amp;&#x20;3", "1 < 2 & 3"),
        ("<b>never closed", "never closed"),
        ("as far as it <![<goes", "as far as it"),
    ],
)
def test_markup_becomes_its_words(markup: str, words: str) -> None:
    assert from_html(markup) == words


@pytest.mark.parametrize("bomb", ["<div>", "<a ", "<a a='", "<!--", "<![CDATA[", "</", "&#", "<mx-reply>", "\x00<"])
def test_a_bomb_of_markup_takes_a_moment(bomb: str) -> None:
    began = time.thread_time()
    from_html(bomb * 50_000)
    assert time.thread_time() - began < 2


@given(ANY_TEXT)
def test_any_markup_is_read(markup: str) -> None:
    from_html(f"<p {markup}>{markup}")


def test_ids_are_opaque_but_bounded() -> None:
    assert valid_id("!v12idwithoutserver", "!")
    assert valid_id("!old:server.org", "!")
    assert not any(valid_id(value, "!") for value in ("!", "room", "!a b", "!\n", "!" + "x" * 255, None, 3, "!\ud800"))
