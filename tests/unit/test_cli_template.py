# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.cli.template: what `crossband init` asks, and what it writes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.template import Answers, complete, next_steps, render
from gateway.model import ConfigError

ANSWERS = Answers(
    name="hilltop",
    data_dir="data",
    homeserver="https://matrix.example.org",
    user_id="@gw:example.org",
    room="#town:example.org",
    radio="serial:auto",
    channel="LongFast",
    lan="",
)


def test_what_it_writes_joins_the_room_and_the_channel() -> None:
    document = tomllib.loads(render(ANSWERS))

    assert document["bridges"]["home"]["homeserver"] == "https://matrix.example.org"
    assert document["bridges"]["radio"]["direct"] == "home/#town:example.org"
    assert document["routes"] == [{"name": "town", "join": ["home/#town:example.org", "radio/LongFast"]}]
    assert document["permissions"]["@*:example.org"] == "transmit"


def test_either_side_may_be_left_out() -> None:
    radio_only = tomllib.loads(render(Answers(**ANSWERS | {"homeserver": "", "user_id": "", "room": ""})))
    matrix_only = tomllib.loads(render(Answers(**ANSWERS | {"radio": "", "channel": ""})))

    lan_only = tomllib.loads(
        render(Answers(**ANSWERS | dict.fromkeys(("homeserver", "user_id", "room", "radio"), "") | {"lan": "town"}))
    )

    assert set(radio_only["bridges"]) == {"radio"}
    assert set(matrix_only["bridges"]) == {"home"}
    assert "routes" not in radio_only
    assert "permissions" not in radio_only
    assert set(lan_only["bridges"]) == {"lan"}
    assert lan_only["routes"] == [{"name": "town", "join": ["lan/town"]}]


def test_a_box_with_a_radio_and_a_chat_page_needs_no_line_written_by_hand() -> None:
    document = tomllib.loads(render(Answers(**ANSWERS | {"homeserver": "", "user_id": "", "room": "", "lan": "town"})))

    assert document["bridges"]["lan"] == {"kind": "lan", "page": "0.0.0.0:8081", "sync": "0.0.0.0:8448"}
    assert document["routes"] == [{"name": "town", "join": ["radio/LongFast", "lan/town"]}]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20))
def test_any_answer_is_written_as_it_was_given(text: str) -> None:
    document = tomllib.loads(render(Answers(**ANSWERS | {"name": text, "radio": text or "x"})))

    assert document["gateway"]["name"] == text
    assert document["bridges"]["radio"]["connection"] == (text or "x")


def test_only_what_is_not_given_is_asked() -> None:
    asked: list[str] = []

    def ask(question: str, default: str | None) -> str:
        asked.append(question)
        return default or "@gw:example.org"

    answers = complete({"name": "hilltop", "homeserver": "https://x.org", "room": "#a:x.org", "radio": "-"}, ask)

    assert answers["user_id"] == "@gw:example.org"
    assert len(asked) == 4
    assert not any("name for this box" in question for question in asked)


def test_a_dash_means_none() -> None:
    answers = complete({"name": "x"}, lambda _question, _default: "-")

    assert (answers["homeserver"], answers["radio"], answers["channel"], answers["lan"]) == ("", "", "", "")


def test_a_box_with_neither_matrix_nor_a_radio_is_offered_a_page() -> None:
    def ask(question: str, default: str | None) -> str:
        return default or "" if "chat page" in question else "-"

    assert complete({"name": "x"}, ask)["lan"] == "town"
    assert complete({"name": "x", "radio": "serial:auto"}, ask)["lan"] == ""


@pytest.mark.parametrize(
    ("given", "missing"), [({}, "--name"), ({"name": "x", "homeserver": "https://x.org"}, "--user-id")]
)
def test_with_nobody_to_ask_what_is_missing_is_named(given: dict[str, str], missing: str) -> None:
    with pytest.raises(ConfigError, match=missing):
        complete(given, None)


def test_the_next_steps_are_commands() -> None:
    assert next_steps(ANSWERS, Path("crossband.toml")) == [
        "crossband matrix login",
        "crossband doctor",
        "crossband run",
    ]
    assert next_steps(ANSWERS, Path("/etc/x.toml"))[-1] == "crossband run --config /etc/x.toml"
