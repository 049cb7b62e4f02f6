# SPDX-License-Identifier: GPL-3.0-or-later
"""Which events are commands, what they ask for, and how they are answered."""

from __future__ import annotations

import html
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.matrix.convert import Reading, to_message
from bridges.matrix.management.answers import ELSEWHERE, answer_content, answer_key
from bridges.matrix.management.command import (
    Bridge,
    Command,
    Confirm,
    Dm,
    GatherSpace,
    Help,
    Nick,
    Other,
    Unbridge,
    command_in,
    whom_and_what,
    wish_of,
)
from bridges.matrix.management.confirmations import MOST, WITHIN_S, Confirmations
from bridges.matrix.management.throttle import BURST, EVERY_S, Throttle
from gateway.model import Address, BridgeName, Message, SenderId

PROFILE = {"id": "x", "displayname": "Operator", "has_fallback": True}
READING = Reading(
    room=Address(BridgeName("home"), "#town:gw.test"),
    user_id="@bot:gw.test",
    received_ms=1,
    name_of=lambda _: "Ali",
)


def heard(body: str, *, all_are: bool = False, **content: Any) -> Command | None:
    event = {
        "type": "m.room.message",
        "event_id": "$e",
        "sender": "@ali:gw.test",
        "content": {"msgtype": "m.text", "body": body, **content},
    }
    message = to_message(event, READING)
    return command_in(event, message, "!room", all_are=all_are) if isinstance(message, Message) else None


def words(body: str, *, all_are: bool = False, **content: Any) -> str | None:
    command = heard(body, all_are=all_are, **content)
    return None if command is None else command.words


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("!mesh status", "status"),
        ("  !mesh   nodes all ", "nodes all"),
        ("!MESH help", "help"),
        ("!mesh", ""),
        ("!mesh\nstatus", "status"),
        ("> <@bea:gw.test> hm\n\n!mesh status", None),
        ("!meshed up", None),
        ("say !mesh status", None),
        ("mesh status", None),
        ("status", None),
    ],
)
def test_a_command_begins_with_its_prefix(body: str, said: str | None) -> None:
    assert words(body) == said


def test_where_all_are_commands_the_prefix_may_be_left_out() -> None:
    assert words("status", all_are=True) == words("!mesh status", all_are=True) == "status"


@pytest.mark.parametrize(
    "content",
    [
        {"msgtype": "m.notice"},
        {"msgtype": "m.emote"},
        {"msgtype": "m.image", "filename": "x.png"},
        {"org.crossband.origin": "radio/LongFast"},
        {"fi.mau.double_puppet_source": "crossband"},
        {"com.beeper.per_message_profile": PROFILE},
        {
            "m.relates_to": {"rel_type": "m.replace", "event_id": "$x"},
            "m.new_content": {"msgtype": "m.text", "body": "!mesh status"},
        },
    ],
)
def test_edits_notices_and_what_is_said_for_others_give_no_commands(content: dict[str, Any]) -> None:
    assert words("!mesh status", **content) is None
    assert words("!mesh status", all_are=True, **content) is None


def test_a_reply_gives_a_command_and_a_thread_is_remembered() -> None:
    relation = {"rel_type": "m.thread", "event_id": "$root", "is_falling_back": True}
    command = heard("!mesh status", **{"m.relates_to": relation})
    assert command is not None
    assert command.thread == "$root"
    answer = answer_content("fine", command, is_private=False)
    assert answer["m.relates_to"] == {
        "rel_type": "m.thread",
        "event_id": "$root",
        "is_falling_back": True,
        "m.in_reply_to": {"event_id": "$e"},
    }


@pytest.mark.parametrize(
    ("said", "wish"),
    [
        ("bridge Long Fast", Bridge(there="Long Fast")),
        ("BRIDGE  x\nand more", Bridge(there="x")),
        ("bridge", Bridge(there="")),
        ("unbridge", Unbridge(there="")),
        ("unbridge LongFast", Unbridge(there="LongFast")),
        ("dm !a1b2c301 at\nnine", Dm(words="!a1b2c301 at\nnine")),
        ("dm", Dm(words="")),
        ("nick Ali", Nick(name="Ali")),
        ("nick Ali\u202eevil", Nick(name="Alievil")),
        ("space", GatherSpace(channels=())),
        ("space A b, C,, A b", GatherSpace(channels=("A b", "C"))),
        ("confirm", Confirm()),
        ("Yes", Confirm()),
        ("yes please", Other()),
        ("", Help()),
        ("help", Help()),
        ("help mute", Help(about="mute")),
        ("HELP bridge", Help(about="bridge")),
        ("status", Other()),
        ("bridges", Other()),
    ],
)
def test_words_are_wishes(said: str, wish: object) -> None:
    assert wish_of(said) == wish


@pytest.mark.parametrize(
    ("said", "whom", "what"),
    [
        ("!a1b2c301", "!a1b2c301", ""),
        ("!a1b2c301 at nine\nor ten", "!a1b2c301", "at nine\nor ten"),
        ('"Base camp" hello', "Base camp", "hello"),
        ("“Base camp”", "Base camp", ""),
        ("", "", ""),
        ('"', '"', ""),
    ],
)
def test_whom_a_direct_message_is_for(said: str, whom: str, what: str) -> None:
    assert whom_and_what(said) == (whom, what)


@given(st.text(max_size=300))
def test_any_words_are_some_wish(said: str) -> None:
    wish_of(said)
    whom_and_what(said)
    heard(f"!mesh {said}")


COMMAND = Command(event_id="$e", room_id="!r", sender=SenderId("@ali:gw.test"), sender_name="Ali", words="x")


@given(st.text(max_size=2_000), st.booleans())
def test_an_answer_is_a_short_notice_whose_markup_is_words(said: str, is_private: bool) -> None:
    content = answer_content(said, COMMAND, is_private=is_private)
    assert content["msgtype"] == "m.notice"
    assert content["m.mentions"] == {}
    assert content["body"]
    if not is_private:
        assert len(content["body"].encode()) < 900
    if "formatted_body" in content:
        inner = content["formatted_body"].removeprefix("<pre><code>").removesuffix("</code></pre>")
        assert "<" not in inner
        assert html.unescape(inner) == content["body"]


def test_columns_are_kept_and_a_long_answer_is_given_in_private_only() -> None:
    table = "\n".join(f"!a1b2c3{n:02d}  Node <{n}>" for n in range(40))
    private = answer_content(table, COMMAND, is_private=True)
    assert private["body"] == table
    assert private["formatted_body"].startswith("<pre><code>!a1b2c300  Node &lt;0&gt;\n")
    public = answer_content(table, COMMAND, is_private=False)
    assert public["body"].splitlines()[-1] == ELSEWHERE
    assert "Node <20>" not in public["body"]


def test_an_answer_holds_no_secret_whoever_put_it_there() -> None:
    content = answer_content("the token is  syt_abc", COMMAND, is_private=True, secrets=("syt_abc", ""))
    assert "syt_abc" not in str(content)


def test_a_command_is_answered_under_one_id_and_another_under_another() -> None:
    assert answer_key(COMMAND, "home") == answer_key(replace(COMMAND, words="y"), "home")
    assert answer_key(COMMAND, "home") != answer_key(replace(COMMAND, event_id="$f"), "home")


async def done() -> str:
    return "done"


def test_a_yes_counts_for_who_was_asked_where_they_were_asked_and_in_time() -> None:
    waiting = Confirmations()
    waiting.ask("ali", "!r", done, now_s=0)
    assert waiting.confirm("eve", "!r", 1) is None
    assert waiting.confirm("ali", "!s", 1) is None
    pending = waiting.confirm("ali", "!r", WITHIN_S)
    assert pending is not None
    assert not pending.again
    assert waiting.confirm("ali", "!r", WITHIN_S) is None, "a yes is used up"
    waiting.ask("ali", "!r", done, now_s=0)
    assert waiting.confirm("ali", "!r", WITHIN_S + 1) is None


def test_what_must_be_said_twice_is_asked_twice() -> None:
    waiting = Confirmations()
    waiting.ask("ali", "!r", done, now_s=0, again="really?")
    first = waiting.confirm("ali", "!r", 1)
    second = waiting.confirm("ali", "!r", 2)
    assert first is not None
    assert first.again == "really?"
    assert second is not None
    assert not second.again


def test_only_so_much_waits_for_a_yes() -> None:
    waiting = Confirmations()
    for number in range(MOST + 1):
        waiting.ask(f"p{number}", "!r", done, now_s=0)
    assert waiting.confirm("p0", "!r", 1) is None
    assert waiting.confirm("p1", "!r", 1) is not None


def test_too_many_commands_of_one_are_not_taken_and_that_is_told_once() -> None:
    throttle = Throttle()
    assert all(throttle.takes("eve", 0.0) for _ in range(BURST))
    assert not throttle.takes("eve", 0.0)
    assert [throttle.is_to_be_told("eve") for _ in range(2)] == [True, False]
    assert throttle.takes("ali", 0.0), "others aren't concerned"
    assert not throttle.takes("eve", EVERY_S - 0.1)
    assert throttle.takes("eve", EVERY_S)
    assert not throttle.takes("eve", EVERY_S)
    assert throttle.is_to_be_told("eve")
