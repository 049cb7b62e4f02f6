# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ast
import re
from importlib.resources import files
from pathlib import Path

import pytest

from bridges.lan.hall import Cost
from bridges.lan.page import po
from bridges.lan.page.languages import LANGUAGES, catalogue, chosen
from bridges.lan.page.plain import one_line, plain
from bridges.lan.page.reasons import Kind
from bridges.lan.page.rendering import costing, environment, not_reached, told
from bridges.lan.page.wording import FOR_PEOPLE, standing
from gateway.model import phrase

PACKAGE = Path(str(files("bridges.lan.page")))
TRANSLATED = sorted(set(LANGUAGES) - {"en"})
STATES = (
    {"waiting", "queued", "sending", "sent", "heard", "delivered", "expired", "failed"}
    | set(FOR_PEOPLE.values())
    | {kind.value for kind in Kind if kind.value}
)
_FIELD = re.compile(r"%\((\w+)\)[sd]|%(?!\()")


def phrases() -> set[str]:
    """Return every phrase that the bridge or the core makes for people; each is a literal, so that it can be found."""
    found: set[str] = set()
    for module in [*PACKAGE.parent.rglob("*.py"), *Path(str(files("gateway"))).rglob("*.py")]:
        for call in ast.walk(ast.parse(module.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "phrase":
                assert isinstance(call.args[0], ast.Constant), (module, call.lineno)
                found.add(call.args[0].value)
    return found


def originals() -> set[str]:
    """Return every text of the templates and of the code, as catalogues name them; and the hall's states."""
    found = STATES | phrases()
    for template in (PACKAGE / "templates").glob("*.html"):
        for _, _, text in environment().extract_translations(template.read_text()):
            found.add("\0".join(part for part in text if part) if isinstance(text, tuple) else text)
    for module in PACKAGE.glob("*.py"):
        for call in ast.walk(ast.parse(module.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "attr", "") in {"gettext", "ngettext"}:
                texts = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
                found.update(["\0".join(texts)] if texts else [])
    return found


def read(language: str) -> dict[str, str]:
    return po.read((PACKAGE / "locale" / f"{language}.po").read_text(encoding="utf-8"))


def test_there_is_something_to_translate_and_it_is_found():
    assert {"Join", "radio", "%(num)d byte left\0%(num)d bytes left"} <= originals()


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_text_is_translated_and_nothing_else_is_in_the_catalogue(language):
    assert set(read(language)) - {""} == originals()


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_translation_has_the_places_of_its_original(language):
    for original, words in read(language).items():
        if original:
            wanted = {tuple(sorted(_FIELD.findall(text))) for text in original.split("\0")}
            assert {tuple(sorted(_FIELD.findall(text))) for text in words.split("\0")} == wanted, original


@pytest.mark.parametrize(("language", "forms"), [("de", 2), ("es", 2), ("fr", 2), ("uk", 3)])
def test_every_plural_has_all_the_forms_of_its_language(language, forms):
    for original, words in read(language).items():
        if "\0" in original:
            assert len(words.split("\0")) == forms, original


def test_a_catalogue_chooses_the_form_by_the_number():
    words = catalogue("uk")
    said = [words.ngettext("%(num)d byte left", "%(num)d bytes left", n) % {"num": n} for n in (1, 3, 5, 11, 21)]
    assert said == ["лишився 1 байт", "лишилося 3 байти", "лишилося 5 байтів", "лишилося 11 байтів", "лишився 21 байт"]


def test_what_is_no_line_of_a_catalogue_is_an_error():
    with pytest.raises(ValueError, match="not a line"):
        po.read('msgid "a"\nmsgtsr "b"\n')


def test_an_untranslated_message_stays_in_english():
    assert po.translations('msgid ""\nmsgstr ""\n\nmsgid "a"\nmsgstr ""\n').gettext("a") == "a"


@pytest.mark.parametrize(
    ("accepted", "asked", "language"),
    [
        ("", "", "en"),
        ("de-AT,de;q=0.9,en;q=0.8", "", "de"),
        ("ja,uk;q=0.5,fr;q=0.4", "", "uk"),
        ("fr;q=0,es;q=0.1", "", "es"),
        ("de", "fr", "fr"),
        ("de", "xx", "de"),
        ("*", "", "en"),
        ("de;q=nonsense,es", "", "es"),
        ("," * 5000 + "de", "", "en"),
    ],
)
def test_the_language_is_the_one_asked_for_or_the_best_accepted(accepted, asked, language):
    assert chosen(accepted, asked) == language


def test_what_the_box_says_is_translated_by_its_parts_and_else_marked_as_english():
    assert told("de", "radio: heard") == "Funk: gehört"
    assert told("de", "heard") == "gehört"
    assert told("de", "the <channel> is busy") == '<span lang="en">the &lt;channel&gt; is busy</span>'
    assert told("en", "radio: heard") == "radio: heard"
    assert told("de", "") == ""


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ("too long: more than 4 parts of 232 bytes", "radio/LongFast: zu lang"),
        ("what no release said yet", "radio/LongFast: wer diese Box betreibt, kann sehen, warum"),
        (
            phrase("the sender may read but not transmit on radio"),
            "radio/LongFast: wer auf einer Seite schreibt",
        ),
    ],
)
def test_where_a_text_would_not_go_is_said_with_why_in_the_readers_language(why, words):
    reason = phrase("%(where)s: %(why)s", where="radio/LongFast", why=why)
    assert not_reached("de", reason).startswith(words)
    assert not_reached("en", reason) == told("en", reason)
    assert not_reached("de", "in no parts") == '<span lang="en">in no parts</span>'


def test_what_a_text_would_take_is_said_in_the_readers_language():
    cost = Cost(bytes_left=-30, packets=2, airtime_ms=2600, reaches=())
    assert costing("fr", cost) == "Trop long pour un paquet radio : 2 paquets radio, 2,6 s d’antenne"
    assert costing("en", cost).endswith("2.6 s of airtime")
    assert costing("en", Cost(bytes_left=0, packets=1, airtime_ms=0, reaches=())) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb\u2066c\u200fd", "abcd"),
        ("a\x00b\x1b[31mc\x7f", "ab[31mc"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("tab\tstays", "tab\tstays"),
        ("\N{WOMAN}\u200d\N{PERSONAL COMPUTER}", "\N{WOMAN}\u200d\N{PERSONAL COMPUTER}"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\ud800x", "x"),
        ("x" * 9_000, "x" * 8_000),
    ],
)
def test_nothing_hides_or_turns_what_is_said(text, shown):
    assert plain(text) == shown


def test_one_line_is_one_line():
    assert one_line("a\n  b\u2028c") == "a b c"
    assert one_line("x" * 20, 10) == "x" * 9 + "…"


def test_what_became_of_a_line_is_said_by_its_parts_each_in_the_readers_language_as_far_as_it_is_known():
    refused = "radio/LongFast: cancelled, the sender may read but not transmit on radio; home/#town: sent"
    asks = "people at a page are heard on radio if the operator lets them; /radio asks"
    assert standing("en", refused) == "radio/LongFast: not sent, /radio asks the operator for it; home/#town: sent"
    assert standing("de", refused).startswith("radio/LongFast: nicht gesendet, /radio fragt den Betreiber; ")
    assert (
        standing("de", "radio: queued, the channel is busy: 41 %") == "Funk: in der Warteschlange, der Kanal ist belegt"
    )
    assert standing("en", "radio/<b>: sent") == "radio/&lt;b&gt;: sent"
    assert told("en", "radio/LongFast: the sender may read but not transmit on radio") == f"radio/LongFast: {asks}"


def test_every_phrase_is_filled_by_the_names_it_has_places_for_and_by_no_others():
    for module in [*PACKAGE.parent.rglob("*.py"), *Path(str(files("gateway"))).rglob("*.py")]:
        for call in ast.walk(ast.parse(module.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "phrase":
                named = {each.arg for each in call.keywords}
                assert named == set(_FIELD.findall(call.args[0].value)), (module, call.lineno)


def test_a_phrase_is_english_like_any_text_and_said_in_the_readers_language_with_what_is_in_it():
    slow = phrase("slow mode: one line in %(num)d s", num=30)
    refused = phrase("%(why)s; again in %(num)d s", why=slow, num=12)
    assert refused == "slow mode: one line in 30 s; again in 12 s"
    assert told("de", refused) == "langsamer Modus: eine Zeile in 30 s; wieder in 12 s"
    assert told("en", refused) == refused
    assert told("uk", phrase("here: %(nicks)s", nicks="<b>, 100 %")) == "тут: &lt;b&gt;, 100 %"
    unknown = "no such " + "%(thing)s"
    assert told("de", phrase(unknown, thing="<x>")) == '<span lang="en">no such &lt;x&gt;</span>'
