# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever somebody calls themselves or says, on either side, it changes nothing but text."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.matrix.content import from_message
from bridges.matrix.convert import PROFILE_KEY, Skip
from gateway.fitting import Unfit, fit
from gateway.model import Message, NativeId, Sender, SenderId, Text
from tests.unit.test_relations import AIR, NOW_MS, READING, from_event, radio, says

PARTS = [
    "\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\x00", "\x07", "\x1b[31m", "\x1b]0;x\x07", "\x9b", "\r", "\n",
    "\u2028", "\u0301" * 40, "\ud800", "<script>alert(1)</script>", "<img src=x onerror=y>", "</strong>", "<mx-reply>",
    "&lt;", "&#x202e;", "--><!--", "<![CDATA[", '" onload="', "https://matrix.to/#/@ali:gw.test",
    "[x](https://matrix.to.evil/#/@ali:gw.test)", "[x](javascript:alert)", "@room", "@ali:gw.test", "Bea: ",
    "> <@ali:gw.test> ", "* ", "(1/3)", "[image] ", "🚨", "!mesh ", "x" * 300, "👨\u200d👩\u200d👧", "מ", "é",
]  # fmt: skip
HOSTILE = st.lists(st.sampled_from(PARTS) | st.text(st.characters(exclude_categories=()), max_size=8), max_size=8).map(
    "".join
)


class Tags(HTMLParser):
    """What a client would render besides words."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.words = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(key for key, _ in attrs)))
        self.words += "\n" if tag == "br" else ""

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(data)


def is_harmless(char: str) -> bool:
    return unicodedata.category(char) not in ("Cc", "Cs") or char in "\n\t"


def is_in_line(text: str) -> bool:
    kinds = {unicodedata.category(char) for char in text if char not in "\u200c\u200d"}
    return not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(HOSTILE, HOSTILE)
def test_what_radios_say_and_are_called_is_text_in_a_room(name: str, body: str) -> None:
    message = Message(
        native_id=NativeId("mt:1:2"),
        origin=AIR,
        sender=Sender(id=SenderId("!a1b2c301"), name=name),
        content=Text(body=body),
        received_ms=NOW_MS,
    )
    content = from_message(message, "key.0", NOW_MS).content

    known = {"msgtype", "body", "m.mentions", "format", "formatted_body", PROFILE_KEY}
    assert set(content) <= known | {"org.crossband.id", "org.crossband.origin"}
    assert (content["msgtype"], content["m.mentions"]) == ("m.text", {})
    assert len(json.dumps(content, ensure_ascii=False).encode()) < 65_536
    assert all(map(is_harmless, content["body"]))
    if PROFILE_KEY in content:
        shown = content[PROFILE_KEY]["displayname"]
        assert is_in_line(shown)
        assert len(shown.encode()) <= 255
        rendered = Tags(content["formatted_body"])
        assert {tag for tag in rendered.tags if tag[0] != "br"} == {("strong", ("data-mx-profile-fallback",))}
        assert rendered.words == content["body"]


@given(HOSTILE, HOSTILE, st.booleans())
def test_what_people_in_a_room_say_and_are_called_is_one_name_and_text_on_the_air(
    name: str, body: str, is_profile: bool
) -> None:
    profile = {PROFILE_KEY: {"displayname": name, "has_fallback": True}} if is_profile else {}
    reading = replace(READING, name_of=lambda _: name)
    message = from_event(says(body, **profile), reading)
    if isinstance(message, Skip):
        return
    parts = fit(message, AIR, radio(4))
    if isinstance(parts, Unfit):
        return
    texts = [part.content.body for part in parts if isinstance(part.content, Text)]
    assert all(len(text.encode()) <= 232 for text in texts)
    assert all(is_harmless(char) for text in texts for char in text)
    lead, colon, _ = re.split(r"(:\s)", texts[0], maxsplit=1)
    assert colon
    assert len(lead.encode()) <= 12
    assert is_in_line(lead)
    assert (message.reply_to, message.direct, message.lane.value) == (None, False, "normal")


@pytest.mark.parametrize("name", ["Bea: ", "Bea:", "Bea: x", "Bea:  yes: "])
def test_nobody_speaks_for_another_by_a_name_with_a_colon(name: str) -> None:
    message = from_event(says("hi"), replace(READING, name_of=lambda _: name))
    assert isinstance(message, Message)
    parts = fit(message, AIR, radio(4))
    assert not isinstance(parts, Unfit)
    content: Any = parts[0].content
    assert re.fullmatch(r"Bea( x| yes)?: hi", content.body)


BOMBS = [
    "<b>" * 100_000, "<" * 200_000, "<a href='" * 50_000, "&" * 200_000, "<!" * 100_000, "<![" * 50_000, "</" * 100_000,
    "<p " + "a=" * 100_000, "<mx-reply>" * 50_000, "<div" * 50_000, "<!--" * 50_000, "&#" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb[:10])
def test_a_bomb_of_markup_is_read_as_far_as_it_is_short(bomb: str) -> None:
    said = from_event(says(" ", format="org.matrix.custom.html", formatted_body=f"hi{bomb}"), READING)
    assert isinstance(said, Message)
    assert isinstance(said.content, Text)
    assert len(said.content.body) <= 5_000
