# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.api.html: everything is escaped unless it is markup already."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from gateway.api.html import Html, el, page, table, visible


def test_text_and_attributes_are_escaped() -> None:
    made = el("p", "<script>&", el("b", "x"), title='"><script>', class_="a")

    assert made == Html('<p title="&quot;&gt;&lt;script&gt;" class="a">&lt;script&gt;&amp;<b>x</b></p>')


@given(st.text(max_size=100))
def test_no_text_makes_an_element_or_leaves_its_place(text: str) -> None:
    tags: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            tags.append(tag)

    Reader().feed(el("p", text, title=text).markup)

    assert tags == ["p"]


def test_characters_that_reorder_or_hide_are_shown() -> None:
    assert visible("a\u202eb\u200bc\x00") == "a\ufffdb\ufffdc\ufffd"
    assert visible("a\nb 👩\u200d🚒 \u0644") == "a\nb 👩\u200d🚒 \u0644"


def test_a_table_without_rows_says_so_in_words() -> None:
    assert "Nothing waits." in table("Queue", ["a"], [], empty="Nothing waits.").markup


def test_a_page_asks_nothing_of_other_hosts() -> None:
    text = page("x", el("p", "y"))

    assert text.startswith("<!doctype html>")
    assert "//" not in text
    assert "<script" not in text
