# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.meshtastic.config import MeshtasticConfig
from bridges.meshtastic.places import capabilities
from bridges.meshtastic.shorten import Shorten, shorter
from gateway.fitting import Unfit, fit
from gateway.model import Address, BridgeName, ConfigError, Edit, Message, NativeId, RemoteId, Sender, SenderId, Text

ALL = frozenset(Shorten)
RUSSIAN = (
    "\u0432\u0441\u0442\u0440\u0435\u0447\u0430 \u0443 \u043c\u043e\u0441\u0442\u0430 "
    "\u0432 \u0448\u0435\u0441\u0442\u044c"
)
"""Meeting at the bridge at six."""


@pytest.mark.parametrize(
    ("wanted", "said", "short"),
    [
        (Shorten.SPACES, "  two   words\t\tand\u00a0\u2003more \n\n\n  lines  ", "two words and more\nlines"),
        (Shorten.SPACES, "soft\u00adhy\u200bphen\ufeff", "softhyphen"),
        (Shorten.TYPOGRAPHY, "\u201cno\u201d \u2014 he\u2019d wait\u2026 \u00abda\u00bb", '"no" - he\'d wait... "da"'),
        (Shorten.HOMOGLYPHS, "\u0421\u041e\u0421\u041d\u0410", "COCHA"),
        (Shorten.HOMOGLYPHS, "\u043c\u043e\u0440\u0435", "\u043cope"),
        (Shorten.HOMOGLYPHS, "\u0391\u03a4\u0395\u039d\u0391 \u03bf \u03b1", "ATENA o \u03b1"),
        (Shorten.HOMOGLYPHS, "\u0432\u043a\u043c\u043d\u0442", "\u0432\u043a\u043c\u043d\u0442"),
    ],
)
def test_each_choice_does_what_it_says_and_nothing_else(wanted: Shorten, said: str, short: str):
    assert shorter(frozenset({wanted}))(said) == short
    others = ALL - {wanted}
    assert all(shorter(frozenset({other}))(short) == short for other in others)


@pytest.mark.parametrize(
    "word",
    [
        "https://\u0441\u0430\u0440.\u0440\u0444/\u0430\u0441\u043e",
        "\u0441\u0430\u0440.\u0440\u0444",
        "\u0430@\u0441\u0430\u0440",
        "@\u0440\u043e\u043c\u0430",
        "#\u0441\u0430\u0440",
        "!\u0430\u0441\u0435",
        "\u04105\u20136",
        "\u0441_\u0430",
        "geo:\u0430",
        "C:\\\u0440",
    ],
)
def test_what_means_more_than_its_look_stays_as_it_is(word: str):
    assert shorter(ALL)(f"\u0430 {word} \u0430") == f"a {word} a"


@pytest.mark.parametrize("said", ["!ping  \u0430", "/me  \u0430", " !gw  \u2014"])
def test_a_command_stays_as_it_is(said: str):
    assert shorter(ALL)(said) == said


def test_of_a_russian_text_about_a_fifth_of_its_letters_bytes_is_saved():
    short = shorter(ALL)(RUSSIAN)

    assert len(short.encode()) <= 0.85 * len(RUSSIAN.encode())
    assert len(short) == len(RUSSIAN)


def test_without_a_choice_nothing_is_changed():
    assert shorter(frozenset())("  \u0430  \u2014 ") == "  \u0430  \u2014 "


def test_a_family_a_flag_and_marks_stay_whole():
    said = "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e8\U0001f1ed e\u0301 \u270c\U0001f3fd \u0646\u200c\u0627"
    assert shorter(ALL)(said) == said


def test_letters_become_only_such_as_look_the_same():
    """By the names that Unicode gives them: a Cyrillic or Greek letter, upper or lower case, for its Latin twin."""
    for code in range(0x370, 0x530):
        letter = chr(code)
        short = shorter(frozenset({Shorten.HOMOGLYPHS}))(letter)
        if short != letter:
            assert short.isascii()
            assert short.isupper() == letter.isupper()
            assert unicodedata.name(letter).startswith(("CYRILLIC", "GREEK"))


@given(st.text(max_size=80), st.frozensets(st.sampled_from(Shorten)))
def test_it_never_gets_longer_and_doing_it_twice_changes_nothing_more(text: str, wanted: frozenset[Shorten]):
    short = shorter(wanted)(text)

    assert len(short.encode("utf-8", "replace")) <= len(text.encode("utf-8", "replace"))
    assert shorter(wanted)(short) == short


RADIO = Address(BridgeName("radio"), "LongFast")


def fitted(content: Text | Edit, *, most: int = 1, shorten: frozenset[Shorten] = ALL) -> list[str]:
    message = Message(
        native_id=NativeId("mx:$1"),
        origin=Address(BridgeName("home"), "#town:example.org"),
        sender=Sender(id=SenderId("@oleh:example.org"), name="\u041e\u043b\u0435\u0433"),
        content=content,
        received_ms=0,
    )
    parts = fit(message, RADIO, capabilities(most, shorten=shorter(shorten)))
    return [] if isinstance(parts, Unfit) else [part.content.body for part in parts if isinstance(part.content, Text)]


def test_a_text_is_shortened_before_it_is_measured_and_the_senders_name_stays():
    long = "\u0430\u043e\u0435 " * 32  # 223 bytes with its name if it is shortened, 7 a word otherwise
    assert fitted(Text(body=long), shorten=frozenset()) == []
    assert fitted(Text(body=long)) == ["\u041e\u043b\u0435\u0433: " + ("aoe " * 32).strip()]


def test_a_correction_is_shortened_as_what_it_corrects_was():
    assert fitted(Edit(target=RemoteId("$1"), body="\u043d\u0435 \u2014  \u0434\u0430")) == [
        "\u041e\u043b\u0435\u0433: *corrected: \u043de - \u0434a"
    ]


def test_the_table_says_how_and_by_default_nothing_is():
    table = {"kind": "meshtastic", "connection": "serial:auto"}
    assert MeshtasticConfig.parse(table).shorten == frozenset()
    assert MeshtasticConfig.parse({**table, "shorten": ["spaces", "homoglyphs"]}).shorten == {
        Shorten.SPACES,
        Shorten.HOMOGLYPHS,
    }


@pytest.mark.parametrize("value", ["everything", ["spaces", "vowels"], [1], True, [["spaces"]]])
def test_what_is_no_way_to_shorten_is_an_error_with_the_mend(value: object):
    with pytest.raises(ConfigError, match="is not how texts can be shortened") as refused:
        MeshtasticConfig.parse({"connection": "serial:auto", "shorten": value})
    assert refused.value.key == "shorten"
    assert "typography" in refused.value.mend
