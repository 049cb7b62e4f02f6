# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line against a running gateway's socket, and alone."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateway.ages import AGE_NAMES
from gateway.breaker import BreakerState, Look
from gateway.cli.app import main
from gateway.journal import OutageKind
from gateway.link import LinkState
from gateway.model import (
    Address,
    BridgeName,
    DeliveryId,
    Level,
    Location,
    Message,
    NativeId,
    Node,
    Sender,
    SenderId,
    Text,
)
from gateway.status import JournalStatus, QueueStatus, StoreState
from gateway.wording import deed_line
from tests.contract.desk import NODE, START_MS, Desk, in_chat, open_desk, serving, write_config

FAKE = """\
import typer
from gateway.model import BridgeKind
kind = BridgeKind(create=lambda _: None, check=lambda _: frozenset())
def commands():
    app = typer.Typer()
    app.callback()(lambda: None)
    @app.command()
    def greet(name: str):
        typer.echo("hello " + name)
        raise typer.Exit(3)
    return app
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        return json.loads(self.out)


Run = Callable[..., Ended]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("check")` in a directory of its own, with a kind of bridge called fake installed."""
    installed = tmp_path / "installed"
    info = installed / "fakekind-1.dist-info"
    info.mkdir(parents=True)
    (installed / "fakekind.py").write_text(FAKE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fakekind\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[gateway.bridges]\nfake = fakekind:kind\n"
        "[gateway.commands]\nfake = fakekind:commands\nbroken = fakekind_missing:commands\n"
    )
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*args: str) -> Ended:
        with pytest.raises(SystemExit) as caught:
            main(args)
        out, err = capsys.readouterr()
        return Ended(int(caught.value.code or 0), out, err)

    return run


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk, serving(desk):
        yield desk


Ask = Callable[..., Awaitable[Ended]]


@pytest.fixture
def ask(run: Run, desk: Desk) -> Ask:
    """The same while a gateway runs (in this process, so the command has a thread of its own)."""

    async def ask(*args: str) -> Ended:
        return await asyncio.to_thread(run, *args)

    return ask


# With a running gateway.


async def test_status_names_what_is_up_and_what_is_not(ask: Ask) -> None:
    ended = await ask("status")

    assert ended.code == 0
    assert ended.out.startswith("hilltop: crossband ")
    assert "queue: up memory" in ended.out
    assert "the cable is out" in ended.out


async def test_status_says_why_a_store_is_away(ask: Ask, desk: Desk) -> None:
    desk.queue_status = QueueStatus(state=StoreState.DOWN, reason="connection refused")

    assert "queue: down: connection refused" in (await ask("status")).out


async def test_status_says_that_sending_is_held_back_and_when_it_is_tried_again(ask: Ask, desk: Desk) -> None:
    look = Look(state=BreakerState.OPEN, reason="the homeserver answered 429", for_s=5.0, probe_in_s=90.0)
    held = [replace(one, sending=look) for one in desk.bridges()[:1]]
    desk.bridges = lambda: held  # type: ignore[method-assign]

    told = (await ask("status")).out
    assert "sending is held back: the homeserver answered 429; next try in" in told


async def test_a_sent_text_is_accepted_and_its_id_is_the_output(ask: Ask, desk: Desk) -> None:
    ended = await ask("send", "radio/LongFast", "hello there", "--key", "k1")
    again = await ask("send", "radio/LongFast", "hello there", "--key", "k1")
    shown = await ask("messages", "show", ended.out.strip())

    assert (ended.code, len(ended.out.strip())) == (0, 26)
    assert again.out == ended.out
    assert "was sent before" in again.err
    assert "hello there" in shown.out
    assert "radio/LongFast" in shown.out


async def test_a_text_goes_along_a_route_or_comes_from_standard_input(
    ask: Ask, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    os.write(write, "from a pipe ü\n".encode())
    os.close(write)
    with os.fdopen(read) as piped:
        monkeypatch.setattr(sys, "stdin", piped)
        ended = await ask("send", "--route", "town", "-", "-o", "json")

    posted = ended.json
    assert isinstance(posted, dict)
    assert len(posted["deliveries"]) == 2
    (kept,) = await desk.journal.messages(latest=True)
    assert kept.message.content == Text(body="from a pipe ü")


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["send", "radio/LongFast"], 2, "crossband send ADDRESS TEXT"),
        (["send", "sea/ship", "x"], 2, "no bridge called 'sea'"),
        (["send", "--route", "sea", "x"], 2, "no route called 'sea'"),
        (["messages", "show", "nothing"], 1, "no message"),
        (["dead-letters", "show", "nothing"], 1, "no dead letter"),
        (["dead-letters", "redrive", "nothing", "--yes"], 1, "no dead letter"),
        (["dead-letters", "redrive", "--stop"], 1, "no dead letters are being sent"),
        (["dead-letters", "redrive", "x", "--all"], 2, "--all"),
        (["dead-letters", "drop", "nothing"], 1, "no dead letter"),
        (["dead-letters", "redrive"], 2, "--all"),
        (["queue", "cancel", "nothing"], 1, "no delivery"),
        (["queue", "retry", "sea"], 2, "no bridge called 'sea'"),
        (["route", "test", "sea"], 1, "no route called 'sea'"),
        (["outages", "sea"], 2, "no bridge called 'sea'; there is: home, radio,"),
        (["mute"], 2, "say who: crossband mute WHO, or mute WHO for 1h because they shout."),
        (["allow"], 2, "say who: crossband allow WHO none|read|transmit|commands|admin."),
        (["mute", "@nobody:x", "for", "long"], 1, "long"),
    ],
)
async def test_what_cannot_be_done_is_said_on_standard_error(ask: Ask, args: list[str], code: int, words: str) -> None:
    ended = await ask(*args)

    assert ended.code == code
    assert words in ended.err
    assert ended.out == ""


async def test_a_gateway_that_cannot_store_says_why(ask: Ask, desk: Desk) -> None:
    desk.journal_status = JournalStatus(state=StoreState.DOWN, reason="disk full")

    ended = await ask("send", "radio/LongFast", "x")

    assert (ended.code, ended.err) == (1, "disk full\n")


@pytest.mark.parametrize(
    "args",
    [
        ["routes"],
        ["nodes"],
        ["queue"],
        ["queue", "list"],
        ["dead-letters"],
        ["messages"],
        ["permissions"],
        ["mutes"],
    ],
)
async def test_lists_are_tables_or_json_or_a_line_each(ask: Ask, desk: Desk, args: list[str]) -> None:
    desk.known.append((BridgeName("radio"), NODE))
    for text in ("one", "two"):
        ident = (await ask("send", "radio/LongFast", text, "-o", "json")).json["deliveries"][0]  # type: ignore[index]
    await desk.fail(ident)
    await desk.rulings.mute(SenderId("@bea:x"), for_s=None, by=SenderId("@ali:x"))

    table, whole, lines = [await ask(*args, "-o", form) for form in ("table", "json", "jsonl")]

    assert [table.code, whole.code, lines.code] == [0, 0, 0]
    assert table.out
    rows = whole.json
    assert isinstance(rows, list)
    assert rows
    assert [json.loads(line) for line in lines.out.splitlines()] == rows


async def test_nodes_are_shown_with_how_they_are_heard_and_about_where_they_are(ask: Ask, desk: Desk) -> None:
    place = Location(latitude=47.07123, longitude=8.33456, accuracy_m=3)
    kim = replace(NODE, former_names=("Old hut",), short_name="KIM", has_key=True, place=place, battery_percent=8)
    desk.known += [(BridgeName("radio"), kim), (BridgeName("home"), replace(kim, last_heard_ms=START_MS - 60_000))]
    desk.known.append((BridgeName("radio"), Node(id=SenderId("!2"), name="Lee", via_mqtt=True)))

    table = [" ".join(line.split()) for line in (await ask("nodes")).out.splitlines()]
    exact = (await ask("nodes", "old HUT", "--exact")).out
    narrow = (await ask("nodes", "--bridge", "home", "--heard-within", "2m", "--sort", "name", "-o", "json")).json
    nobody = await ask("nodes", "zebra")
    wrong = await ask("nodes", "--heard-within", "soon")

    assert "!a1b2c301 Kim [KIM] (was Old hut) 0 s ago radio, home ▆ -3.5 dB 1 8 yes 47.07,8.34 ±1000 m" in table
    assert any(line.startswith("!2 Lee") and "internet" in line for line in table)
    assert "47.07123,8.33456 ±3 m" in exact
    assert [one["bridge"] for one in narrow] == ["home"]
    assert (nobody.code, nobody.err) == (0, "nobody like that is known\n")
    assert wrong.code == 2


async def test_a_directory_of_many_pages_is_listed_to_its_end(ask: Ask, desk: Desk) -> None:
    desk.known += [(BridgeName("radio"), Node(id=SenderId(f"!{n:08x}"), name=f"n{n}")) for n in range(1203)]

    rows = (await ask("nodes", "-o", "json")).json

    assert len({row["id"] for row in rows}) == len(rows) == 1203


async def test_what_was_decided_in_chats_is_shown_beside_the_file(ask: Ask, desk: Desk) -> None:
    assert "changed in chats" not in (await ask("status")).out
    assert "nobody is muted" in (await ask("mutes")).err
    await desk.rulings.allow("@bea:x", Level.READ, by=SenderId("@ali:x"))
    await desk.rulings.mute(SenderId("!a1b2c301"), for_s=3600, by=SenderId("@ali:x"))

    told = {what: [line.split() for line in (await ask(what)).out.splitlines()] for what in ("permissions", "mutes")}

    assert ["*", "transmit", "file"] in told["permissions"]
    assert ["@bea:x", "read", "chat", "@ali:x"] in [row[:4] for row in told["permissions"]]
    assert ["1", "h", "0", "min"] in [row[-4:] for row in told["mutes"] if row[:2] == ["!a1b2c301", "@ali:x"]]
    assert "changed in chats: 1 permissions, 1 muted" in (await ask("status")).out


async def test_the_audit_shows_the_first_digits_of_a_key_and_json_has_it_whole(ask: Ask, desk: Desk) -> None:
    key = "3fa91c07" * 8
    await desk.rulings.note("set", f"lan invite.{key}", by=SenderId("operator"), where="command line")

    assert "lan invite.3fa91c07…  " in (await ask("audit")).out
    assert (await ask("audit", "-o", "json")).json[0]["about"] == f"lan invite.{key}"  # type: ignore[index]
    assert deed_line("set", f"lan invite.{key}", "", "operator", "", "") == "set lan invite.3fa91c07…, by operator"


async def test_a_history_says_when_for_how_long_and_why(ask: Ask, desk: Desk) -> None:
    sent = (await ask("send", "--route", "town", "x", "-o", "json")).json
    first, second = sent["deliveries"]  # type: ignore[index]
    desk.clock.advance(2.5)
    await desk.fail(first, reason="nobody there")
    desk.clock.advance(200)

    table = [line.split() for line in (await ask("messages", "show", sent["id"])).out.splitlines() if line.strip()]  # type: ignore[index]
    alone = (await ask("messages", "show", second, "-o", "json")).json
    nothing = await ask("messages", "show", "nothing")

    rows = table[-4:-1]
    assert table[-1] == [second, "waits:", "the", "cable", "is", "out"]
    assert (rows[0][0], rows[0][-3:]) == (first, ["waiting", "2.500", "s"])
    assert rows[1][-3:] == ["failed", "nobody", "there"]
    assert (rows[2][0], rows[2][-5:]) == (second, ["waiting", "3", "min", "so", "far"])
    assert [one["id"] for one in alone["deliveries"]] == [second]  # type: ignore[index]
    assert (nothing.code, nothing.err) == (1, "there is no message 'nothing', or no more\n")


async def test_a_message_that_its_network_kept_says_when_it_was_said_and_when_it_was_received(
    ask: Ask, desk: Desk
) -> None:
    message = Message(
        native_id=NativeId("mx:$kept"),
        origin=Address.parse("home/#town:example.org"),
        sender=Sender(id=SenderId("@ali:x"), name="Ali"),
        content=Text(body="hello"),
        received_ms=START_MS,
        late_ms=3_600_000,
    )
    await desk.submit(message, only=None, route="town")

    told = (await ask("messages", "show", message.id)).out.splitlines()[1]
    found = (await ask("messages", "show", message.id, "-o", "json")).json

    assert re.match(r"said \S+ \S+, received \S+ \S+$", told)
    assert found["received_ms"] - found["said_ms"] == 3_600_000  # type: ignore[index]


async def test_messages_are_found_by_state_and_age_and_the_table_says_where_older_ones_are(
    ask: Ask, desk: Desk
) -> None:
    for text in ("one", "two"):
        await ask("send", "radio/LongFast", text)
    desk.clock.advance(700)
    await ask("send", "radio/LongFast", "three")

    async def numbers(*args: str) -> list[int]:
        return [row["seq"] for row in (await ask("messages", *args, "-o", "json")).json]  # type: ignore[attr-defined]

    assert await numbers("--older-than", "10m") == [1, 2]
    assert await numbers("--newer-than", "10m", "--state", "waiting") == [3]
    assert await numbers("--state", "failed") == []
    assert await numbers("--before", "2") == [1]
    assert await numbers("--after", "1") == [2, 3]
    assert (await ask("messages", "--limit", "1")).err == "there are older ones: --before 3\n"
    assert (await ask("messages", "--older-than", "soon")).code == 2


async def test_a_long_queue_is_listed_in_part_and_says_so(ask: Ask) -> None:
    for text in ("one", "two"):
        await ask("send", "radio/LongFast", text)

    ended = await ask("queue", "list", "--limit", "1")

    assert "one" in ended.out
    assert "two" not in ended.out
    assert ended.err == "radio: more than these 1 wait; --limit shows more\n"


async def test_an_empty_table_is_a_line_on_standard_error(ask: Ask) -> None:
    ended = await ask("dead-letters")

    assert (ended.code, ended.out, ended.err) == (0, "", "there are no dead letters\n")


async def test_the_queue_is_shown_by_age_as_qshape_does(ask: Ask, desk: Desk) -> None:
    await ask("send", "radio/LongFast", "x")
    desk.clock.advance(1000)
    await ask("send", "radio/LongFast", "y")

    heads, _, *rows = [line.split() for line in (await ask("queue")).out.splitlines() if line.strip()]

    assert heads == ["destination", "T", *AGE_NAMES, "oldest", "dead"]
    assert rows == [
        ["TOTAL", "2", "1", "1", "16", "min"],
        ["home", "0"],
        ["radio", "2", "1", "1", "16", "min"],
    ]


async def test_the_queue_is_shown_by_conversation_too(ask: Ask) -> None:
    await ask("send", "radio/LongFast", "x")

    table = (await ask("queue", "--by", "conversation")).out
    rows = (await ask("queue", "--by", "conversation", "-o", "json")).json

    assert any(line.split()[:3] == ["radio", "LongFast", "1"] for line in table.splitlines() if line.strip())
    assert [(row["destination"], row["conversation"], row["waiting"]) for row in rows] == [  # type: ignore[attr-defined]
        (None, None, 1),
        ("home", None, 0),
        ("radio", None, 1),
        ("radio", "LongFast", 1),
    ]


async def test_a_count_that_takes_too_long_says_at_least(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("x", "y", "z"):
        await ask("send", "radio/LongFast", text)
    monkeypatch.setattr("gateway.journal.depth.STEP", 2)
    monkeypatch.setattr("gateway.backlog.COUNT_FOR_S", 0.0)

    ended = await ask("queue")

    assert ended.err.startswith("radio: the cable is out\nat least: 1 younger ones")
    assert next(line.split() for line in ended.out.splitlines() if "radio" in line)[1:3] == ["3", "2"]


async def _dead(ask: Ask, desk: Desk, *texts: str, to: str = "radio/LongFast") -> list[str]:
    ids = [(await ask("send", to, text, "-o", "json")).json["deliveries"][0] for text in texts]  # type: ignore[index]
    await desk.fail(*ids, reason="too big")
    return ids


async def test_dead_letters_are_listed_newest_first_and_filtered(ask: Ask, desk: Desk) -> None:
    one, two = await _dead(ask, desk, "one", "two")
    (three,) = await _dead(ask, desk, "three", to="home/#town")

    async def ids(*args: str) -> list[str]:
        return [row["id"] for row in (await ask("dead-letters", "list", *args, "-o", "json")).json]  # type: ignore[attr-defined]

    assert await ids() == [three, two, one]
    assert await ids("--limit", "1") == [three]
    assert await ids("--destination", "radio") == [two, one]
    assert await ids("--reason", "nobody") == []
    assert await ids("--before", "2") == [one]


async def test_a_dead_letter_is_shown_with_its_history(ask: Ask, desk: Desk) -> None:
    (ident,) = await _dead(ask, desk, "one")

    shown = (await ask("dead-letters", "show", ident)).out

    assert "too big" in shown
    assert [line.split()[-1] for line in shown.splitlines() if "waiting" in line] == ["s"]


async def test_redriving_says_its_price_first_and_does_nothing_without_a_yes(ask: Ask, desk: Desk) -> None:
    await _dead(ask, desk, "one", "two")

    ended = await ask("dead-letters", "redrive", "--all", "--pace", "30")

    assert ended.code == 2
    assert "radio: 2 dead letters, 2 deliveries, 2 s on the air (LongFast)" in ended.err
    assert "at 30 a minute that takes 4 s or longer" in ended.err
    assert "add --yes" in ended.err
    assert len(await desk.journal.failed(limit=9)) == 2


@pytest.mark.parametrize("answer", ["y", "n"])
async def test_redriving_asks_whoever_is_there(
    ask: Ask, desk: Desk, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    (ident,) = await _dead(ask, desk, "one")
    monkeypatch.setattr("gateway.cli.redriving.someone_is_there", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer + "\n"))

    ended = await ask("dead-letters", "redrive", ident)

    assert (ended.code, len(await desk.journal.failed(limit=9))) == ((0, 0) if answer == "y" else (1, 1))


async def test_redriving_is_followed_to_its_end(ask: Ask, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.redriving.LOOK_EVERY_S", 0.01)
    await _dead(ask, desk, "one", "two", "three")

    asked = asyncio.create_task(ask("dead-letters", "redrive", "--destination", "radio", "--yes"))
    while not asked.done():
        desk.clock.advance(1)
        await asyncio.sleep(0.01)
    ended = await asked

    assert (ended.code, ended.out.splitlines()[-1]) == (0, "3 of 3 sent again: ended")
    assert await desk.journal.failed(limit=9) == ()


async def test_redriving_goes_on_by_itself_and_can_be_stopped(ask: Ask, desk: Desk) -> None:
    await _dead(ask, desk, "one", "two")

    none = await ask("dead-letters", "redrive", "--progress")
    begun = await ask("dead-letters", "redrive", "--all", "--yes", "--detach")
    while not (desk.redrives.progress and desk.redrives.progress.sent):
        await asyncio.sleep(0.01)
    progress = await ask("dead-letters", "redrive", "--progress")
    stopped = await ask("dead-letters", "redrive", "--stop")

    assert "no dead letters were sent again yet" in none.err
    assert (begun.code, begun.out) == (0, "")
    assert progress.out == "1 of 2 sent again: going on\n"
    assert stopped.out == "1 of 2 sent again: ended: stopped by hand\n"


async def test_dead_letters_are_dropped_one_or_all(ask: Ask, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.api.routes_letters.DROPPED_AT_ONCE", 1)
    one, two, three = await _dead(ask, desk, "one", "two", "three")

    first = await ask("dead-letters", "drop", one)
    unsure = await ask("dead-letters", "drop", "--all")
    rest = await ask("dead-letters", "drop", "--all", "--yes")

    assert (first.code, first.out.split()) == (0, [one])
    assert (unsure.code, unsure.out) == (2, "")
    assert (rest.code, rest.out.split()) == (0, [two, three])
    assert await desk.journal.failed(limit=10) == ()


async def test_outages_are_told_with_how_long_they_lasted(ask: Ask, desk: Desk) -> None:
    await desk.journal.outages.begin(OutageKind.BRIDGE, "radio", desk.clock.now_ms(), "the cable is out")
    await ask("send", "radio/LongFast", "x")
    queue = await desk.journal.outages.begin(OutageKind.QUEUE, "", desk.clock.now_ms(), "refused")
    desk.clock.advance(150)
    await desk.journal.outages.end(queue.no, desk.clock.now_ms())

    table, radio, whole, unknown = [
        await ask("outages", *args) for args in ((), ("radio",), ("queue", "-o", "json"), ("sea",))
    ]

    rows = [line.split() for line in table.out.splitlines() if line.strip()][2:]
    assert [(row[1], row[4:6]) for row in rows] == [("queue", ["2", "min"]), ("radio", ["still", "away"])]
    assert "the cable is out" in radio.out
    assert "refused" not in radio.out
    assert [row["waiting"] for row in whole.json] == [1]  # type: ignore[attr-defined]
    assert unknown.code == 2


async def test_waiting_deliveries_can_be_cancelled_and_retried(ask: Ask, desk: Desk) -> None:
    ident = (await ask("send", "radio/LongFast", "x", "-o", "json")).json["deliveries"][0]  # type: ignore[index]

    retried = await ask("queue", "retry", "radio", "--id", ident)
    cancelled = await ask("queue", "cancel", ident)

    assert retried.err == "trying again: radio\n"
    assert desk.retried == [(BridgeName("radio"), (DeliveryId(ident),))]
    assert (cancelled.code, cancelled.out) == (0, f"{ident}\n")


async def test_routes_say_what_expires_and_what_is_folded(ask: Ask) -> None:
    shown = (await ask("routes")).out

    assert [line for line in shown.splitlines() if "radio after 6 h" in line and "radio after 10 min" in line]


async def test_routes_say_what_they_carry_besides_talk(ask: Ask) -> None:
    shown = (await ask("routes")).out

    assert [line for line in shown.splitlines() if "town" in line and "positions, waypoints, alerts" in line]


async def test_routes_say_who_made_them_in_a_chat(ask: Ask, desk: Desk) -> None:
    desk.made.append(in_chat("chat-1f"))

    shown = (await ask("routes")).out

    assert [line for line in shown.splitlines() if "both ways, in private" in line and "@<b>:x" in line]


async def test_a_route_is_tested_without_sending(ask: Ask, desk: Desk) -> None:
    ended = await ask("route", "test", "warnings", "storm at noon")

    assert "storm at noon" in ended.out
    assert await desk.journal.messages(latest=True) == ()


async def test_a_route_is_tested_with_what_radios_say_besides_texts(ask: Ask) -> None:
    assert "21 °C, of telemetry" in (await ask("route", "test", "town", "21 °C", "--topic", "telemetry")).out
    assert (await ask("route", "test", "town", "21 °C", "--topic", "smells")).code == 2


async def test_text_cannot_steer_the_terminal(ask: Ask) -> None:
    await ask("send", "radio/LongFast", "a\x1b]0;owned\x07b\u202ec")

    ended = await ask("messages")

    assert "\x1b" not in ended.out
    assert "\u202e" not in ended.out


async def test_what_networks_and_servers_say_cannot_steer_it_either(ask: Ask, desk: Desk) -> None:
    ident = (await ask("send", "radio/a\x1b]0;x\x07", "x", "-o", "json")).json["deliveries"][0]  # type: ignore[index]
    await desk.fail(ident, reason="no channel a\x1b]0;x\x07\nfailed")
    desk.queue_status = QueueStatus(state=StoreState.DOWN, reason="-ERR \x1b]0;x\x07")

    told = [
        (await ask(*args)).out for args in (["dead-letters", "show", ident], ["messages", "show", ident], ["status"])
    ]

    assert all(told)
    assert "\x1b" not in "".join(told)
    assert "\nfailed\n" not in told[0]


async def test_the_doctor_repeats_what_bridges_warn_of(ask: Ask, desk: Desk) -> None:
    warned = [replace(one, describe={"warnings": "no region is set"}) for one in desk.bridges()[1:]]
    desk.bridges = lambda: warned  # type: ignore[method-assign]

    rows = {row["check"]: row for row in (await ask("doctor", "-o", "json")).json}  # type: ignore[attr-defined]

    assert (rows["bridges.radio"]["result"], rows["bridges.radio"]["found"]) == ("warn", "no region is set")
    assert "warnings no region is set" not in (await ask("status")).out
    desk.bridges = lambda: [replace(one, state=LinkState.UP, reason="") for one in warned]  # type: ignore[method-assign]
    assert "warnings no region is set" in (await ask("status")).out


async def test_the_doctor_sees_the_running_gateway(ask: Ask) -> None:
    ended = await ask("doctor", "-o", "json")

    rows = ended.json
    assert isinstance(rows, list)
    assert rows[-1] == {"check": "gateway", "result": "warn", "found": "radio: the cable is out", "mend": "See above"}


# Alone.


@pytest.mark.parametrize(
    "args",
    [
        ["status"],
        ["send", "radio/x", "y"],
        ["queue"],
        ["nodes"],
        ["dead-letters", "list"],
        ["messages"],
        ["outages"],
        ["permissions"],
    ],
)
def test_without_a_running_gateway_it_says_so(run: Run, tmp_path: Path, args: list[str]) -> None:
    write_config(tmp_path)

    ended = run(*args)

    assert ended.code == 1
    assert ended.err.startswith("no gateway is running")
    assert "crossband run" in ended.err


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_wrong_configuration_is_told_with_line_and_mend(run: Run, tmp_path: Path, command: str) -> None:
    write_config(tmp_path, "\n[log]\nlevle = 1\n")

    ended = run(command)

    assert ended.code == 2
    assert ended.err == "crossband.toml:23: log.levle: unknown key. Did you mean 'level'?\n"


async def test_asking_a_running_gateway_needs_only_its_own_table(ask: Ask, tmp_path: Path) -> None:
    """The file may have been broken since it started, and its secrets are not for everyone."""
    write_config(tmp_path, '\n[bridges.other]\nkind = "gone"\nx_file = "credential:x"\n[log]\nlevle = 1\n')

    assert (await ask("status")).code == 0
    assert (await ask("check")).code == 2


def test_the_configuration_may_be_named_before_or_after_the_command(run: Run, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    path = str(write_config(tmp_path / "elsewhere"))

    for args in (["--config", path, "check"], ["check", "--config", path], ["check", f"--config={path}"]):
        assert run(*args).out == f"{path}: ok (bridges: 2, routes: 2)\n"
    assert run("check").code == 2


def test_a_token_file_that_is_not_there_is_a_configuration_error(run: Run, tmp_path: Path) -> None:
    write_config(tmp_path, '\n[api]\nlisten = "0.0.0.0:8080"\ntoken_file = "token"\n')

    for command in ("check", "run"):
        ended = run(command)
        assert ended.code == 2
        assert "api.token_file" in ended.err


def test_init_writes_what_check_takes_and_never_overwrites(run: Run, tmp_path: Path) -> None:
    args = ["init", "--name", "hilltop", "--homeserver", "https://example.org", "--user-id", "@g:example.org"]
    args += ["--room", "#town:example.org", "--radio", "tcp:radio", "--config", "new/crossband.toml"]
    written = run(*args)
    again = run(*args)

    path = tmp_path / "new/crossband.toml"
    assert written.code == 0
    assert written.out == "new/crossband.toml\n"
    assert "crossband matrix login" in written.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert 'join = ["home/#town:example.org", "radio/LongFast"]' in path.read_text()
    assert again.code == 1
    assert "exists already" in again.err


def test_init_sets_up_a_box_with_a_chat_page_that_check_takes(run: Run, tmp_path: Path) -> None:
    written = run("init", "--name", "valley", "--homeserver", "", "--radio", "udp:lo", "--lan", "town")

    assert written.code == 0
    assert run("check").code == 0
    assert 'join = ["radio/LongFast", "lan/town"]' in (tmp_path / "crossband.toml").read_text()


def test_init_writes_a_box_with_nothing_but_the_lan(run: Run) -> None:
    written = run("init", "--name", "valley", "--radio", "", "--lan", "town")

    assert written.code == 0
    assert run("check").out == "crossband.toml: ok (bridges: 1, routes: 1)\n"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--radio", "town"], "bridges.radio.connection"),
        (["--radio", "", "--homeserver", "matrix", "--user-id", "@g:x", "--room", "#t:x"], "bridges.home.homeserver"),
    ],
)
def test_init_writes_nothing_that_check_refuses(run: Run, tmp_path: Path, given: list[str], words: str) -> None:
    ended = run("init", "--name", "hilltop", "--lan", "town", *given)

    assert ended.code == 2
    assert words in ended.err
    assert "nothing was written" in ended.err
    assert not (tmp_path / "crossband.toml").exists()


def test_init_without_anyone_to_ask_says_which_option_is_missing(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Path(os.devnull).open() as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        ended = run("init")

    assert ended.code == 2
    assert "--name" in ended.err
    assert not (tmp_path / "crossband.toml").exists()


def test_a_token_is_printed_or_written_for_its_owner_alone(run: Run, tmp_path: Path) -> None:
    printed, other = run("token"), run("token")
    written = run("token", "--write", "secrets/api.token")

    assert len(printed.out.strip()) == 43
    assert printed.out != other.out
    assert (written.code, written.out) == (0, "secrets/api.token\n")
    assert stat.S_IMODE((tmp_path / "secrets/api.token").stat().st_mode) == 0o600
    assert run("token", "--write", "secrets/api.token").code == 1


def test_the_doctor_prints_the_mend_and_fails(run: Run, tmp_path: Path) -> None:
    write_config(tmp_path, '\n[api]\nlisten = "0.0.0.0:8080"\ntoken_file = "token"\n')

    ended = run("doctor", "-o", "json")

    rows = {row["check"]: row for row in ended.json}  # type: ignore[attr-defined]
    assert ended.code == 1
    assert rows["configuration"]["result"] == "ok"
    assert rows["api.token_file"]["mend"] == f"crossband token --write {tmp_path / 'token'}"


def test_the_doctor_sees_a_port_that_somebody_else_has(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run("init", "--name", "valley", "--homeserver", "", "--radio", "udp:lo", "--lan", "town").code == 0
        path = tmp_path / "crossband.toml"
        path.write_text(path.read_text().replace("0.0.0.0:8081", f"127.0.0.1:{port}").replace(":8448", ":0"))
        rows = {row["check"]: row for row in run("doctor", "-o", "json").json}  # type: ignore[attr-defined]

    assert (rows["bridges.lan.page"]["result"], rows["bridges.lan.sync"]["result"]) == ("bad", "ok")
    assert rows["bridges.lan.page"]["mend"] == "Stop what listens there, or name another port in page"


def test_the_doctor_does_not_take_a_password_for_a_matrix_login(run: Run, tmp_path: Path) -> None:
    write_config(tmp_path, '\n[queue]\nurl = "redis://127.0.0.1:1"\npassword_file = "password"\n')

    rows = {row["check"]: row for row in run("doctor", "-o", "json").json}  # type: ignore[attr-defined]

    assert rows["queue.password_file"]["mend"].startswith(f"Write the password into {tmp_path / 'password'}")


def test_the_doctor_names_who_has_a_radios_port_unless_it_is_the_gateway_itself(run: Run, tmp_path: Path) -> None:
    port, lock = tmp_path / "port", tmp_path / "data" / "lock"
    port.touch()
    lock.parent.mkdir()
    lock.touch()
    write_config(tmp_path, f'\n[bridges.spare]\nkind = "fake"\nconnection = "serial:{port}"\n')
    hold = "import fcntl, sys; held = [open(p) for p in sys.argv[1:]]; [fcntl.flock(f, fcntl.LOCK_EX) for f in held]; "

    def look(*held: Path) -> tuple[int, dict[str, str]]:
        with subprocess.Popen(
            [sys.executable, "-c", hold + "print(flush=True); input()", *map(str, held)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as other:
            assert other.stdout
            other.stdout.readline()
            rows = {row["check"]: row for row in run("doctor", "-o", "json").json}  # type: ignore[attr-defined]
            other.communicate(b"\n")
        return other.pid, rows["bridges.spare.connection"]

    pid, in_use = look(port)
    _, ours = look(port, lock)
    write_config(tmp_path, '\n[bridges.spare]\nkind = "fake"\nconnection = "tcp:127.0.0.1:1"\n')
    _, taken = look(port)
    _, left = look(lock)

    assert (in_use["result"], in_use["mend"]) == ("bad", "Close it there")
    assert f"(pid {pid})" in in_use["found"]
    assert ours["result"] == "ok"
    assert taken["result"] == "bad"
    assert left["found"] == "127.0.0.1:1 is left to the running gateway"


def test_the_doctor_says_how_a_registration_that_is_not_there_is_made(run: Run, tmp_path: Path) -> None:
    write_config(tmp_path, '\n[bridges.spare]\nkind = "fake"\nregistration_file = "as.yaml"\n')

    rows = {row["check"]: row for row in run("doctor", "-o", "json").json}  # type: ignore[attr-defined]

    mend = rows["bridges.spare.registration_file"]["mend"]
    assert mend.startswith(f"crossband matrix registration --out {tmp_path / 'as.yaml'}")


def test_the_doctor_sees_what_is_in_the_way_of_our_directories(run: Run, tmp_path: Path) -> None:
    path = write_config(tmp_path)
    path.write_text(path.read_text().replace("[gateway]", '[gateway]\nrun_dir = "f/r"'))
    (tmp_path / "f").write_text("")  # a short name: a socket's path may not be long, and ours begins with this test's
    (tmp_path / "data").write_text("")

    rows = {row["check"]: row for row in run("doctor", "-o", "json").json}  # type: ignore[attr-defined]

    assert rows["run directory"]["found"] == f"{tmp_path / 'f'} is a file"
    assert rows["run directory"]["mend"].endswith("[gateway] run_dir")
    assert rows["data directory"]["found"] == f"{tmp_path / 'data'} is a file"


def test_the_doctor_tells_a_wrong_configuration(run: Run, tmp_path: Path) -> None:
    write_config(tmp_path, "\n[x]\n")

    ended = run("doctor", "-o", "json")

    assert ended.code == 1
    assert "unknown key" in ended.json[0]["found"]  # type: ignore[index]


def test_a_bridges_own_commands_are_run_and_their_exit_code_is_kept(run: Run) -> None:
    ended = run("fake", "greet", "Kim")

    assert (ended.code, ended.out) == (3, "hello Kim\n")


def test_commands_that_cannot_be_loaded_are_said_in_a_line(run: Run) -> None:
    ended = run("broken", "greet")

    assert ended.code == 1
    assert ended.err.startswith("the commands of broken can't be loaded")


def test_help_lists_bridges_commands_without_importing_them(run: Run) -> None:
    code = (
        "import sys\n"
        "from gateway.cli.app import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as ended:\n    assert not ended.code\n"
        "loaded = {'fakekind', 'nio', 'meshtastic', 'fastapi', 'uvicorn', 'redis'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    path = os.pathsep.join(one for one in sys.path if one)

    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "fake" in done.stdout
    assert "dead-letters" in done.stdout


def test_unknown_commands_and_options_are_wrong_use(run: Run) -> None:
    assert run("blow-up").code == 2
    assert run("status", "--blow-up").code == 2
    assert run("status", "-o", "yaml").code == 2


def test_the_version_is_one_line(run: Run) -> None:
    ended = run("--version")

    assert (ended.code, ended.out.split()[0]) == (0, "crossband")
