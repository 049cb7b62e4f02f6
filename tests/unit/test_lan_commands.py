# SPDX-License-Identifier: GPL-3.0-or-later
"""`crossband lan` asks the running gateway, keeps the secret to whoever is at the terminal, and says what it did."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner, Result

from bridges.lan.commands import commands
from bridges.lan.event import box_id
from bridges.lan.pairing import Code, NoCode, code_of, new_code

BOX = box_id(Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32).public_key())
SETTINGS = {
    "box": BOX,
    "addresses": ["192.0.2.7:8448"],
    "warnings": [{"words": "this box was put out"}],
    "members": [
        {"name": "hill", "box": BOX, "here": True, "addresses": [], "heard_s": 0, "lacks": 0, "ahead": 0, "counts": {}},
        {
            "name": "valley",
            "box": "f" * 32,
            "here": False,
            "addresses": ["192.0.2.8:8448"],
            "heard_s": 3,
            "lacks": 7,
            "ahead": None,
            "counts": {"event_gap": 2},
        },
    ],
}


class Desk:
    """The terminal of a gateway that runs, or doesn't."""

    def __init__(self, *, runs: bool = True, bridges: tuple[str, ...] = ("lan",)) -> None:
        self.runs = runs
        self.bridges = bridges
        self.asked: list[tuple[str, Any]] = []

    def tables(self, kind: str) -> Mapping[str, Mapping[str, Any]]:
        assert kind == "lan"
        return {name: {} for name in self.bridges}

    def ask(self, path: str, body: Any = None, *, within_s: float = 20.0) -> Any:
        self.asked.append((path, body))
        if not self.runs:
            return None
        if body is None:
            return {"settings": SETTINGS}
        return {"alterations": [{"key": "x", "was": "", "becomes": "", "cuts_off": "box valley"}]}

    def show(self, rows: Any, columns: Any, form: str, *, empty: str) -> None:
        for row in rows:
            print(" | ".join(f"{name}: {read(row)}" for name, read in columns.items()))


def run(desk: Desk, *words: str) -> Result:
    return CliRunner().invoke(commands(), list(words), obj=desk)


def test_an_invitation_is_printed_and_only_its_public_half_leaves_the_terminal() -> None:
    desk = Desk()
    ran = run(desk, "invite", "--minutes", "5")
    assert ran.exit_code == 0, ran.output
    code = code_of(ran.stdout.splitlines()[0].removeprefix("crossband lan join "))
    assert (code.box, code.addresses) == (BOX, ("192.0.2.7:8448",))
    assert len(ran.stdout.splitlines()) > 15  # the QR code
    path, body = desk.asked[-1]
    assert path == "/bridges/lan/settings"
    assert body["settings"] == {f"invite.{code.key.public_key().public_bytes_raw().hex()}": "300"}
    assert code.secret.hex() not in json.dumps(desk.asked)
    assert str(code)[:40] not in json.dumps(desk.asked)


def test_a_code_is_handed_to_the_gateway_with_where_to_go() -> None:
    desk = Desk()
    code = Code(box=BOX, secret=bytes(16))
    assert run(desk, "join", str(code).lower(), "--at", "valley.local:8448").exit_code == 0
    assert code_of(desk.asked[0][1]["settings"]["join"]).addresses == ("valley.local:8448",)


def test_a_mistyped_code_goes_nowhere() -> None:
    desk = Desk()
    for typed in ("", "ABCD", "1" * 52, str(Code(box=BOX, secret=bytes(16)))[:-3]):
        ran = run(desk, "join", typed)
        assert ran.exit_code == 2
    assert desk.asked == []


def test_peers_are_listed_in_words_and_as_json() -> None:
    ran = run(Desk(), "peers")
    assert "box: valley | id: ffffffff | at: 192.0.2.8:8448 | heard: 3 s ago | it lacks: 7 | we lack: ?" in ran.stdout
    assert "noticed: event_gap=2" in ran.stdout
    assert "warning: this box was put out" in ran.stderr
    assert json.loads(run(Desk(), "peers", "-o", "json").stdout) == SETTINGS


def test_nobody_is_put_out_without_a_second_word() -> None:
    desk = Desk()
    ran = run(desk, "remove", "valley")
    assert (ran.exit_code, len(desk.asked)) == (1, 1)
    assert "cuts off box valley" in ran.stderr
    assert "yes" not in desk.asked[0][1]
    assert run(desk, "remove", "valley", "--yes").exit_code == 0
    assert desk.asked[-1][1] == {"settings": {"remove.valley": "yes"}, "yes": True, "cut_off": True}


@pytest.mark.parametrize(
    "words", [["invite"], ["peers"], ["remove", "x"], ["join", str(Code(box=BOX, secret=bytes(16)))]]
)
def test_without_a_gateway_it_says_so(words: list[str]) -> None:
    ran = run(Desk(runs=False), *words)
    assert ran.exit_code == 1
    assert "no gateway is running" in ran.stderr


def test_which_bridge_is_asked_where_there_are_several() -> None:
    desk = Desk(bridges=("lan", "other"))
    assert run(desk, "peers").exit_code == 2
    assert run(desk, "peers", "--bridge", "other").exit_code == 0
    assert desk.asked[0][0] == "/bridges/other/settings"


def test_a_code_survives_being_typed_and_shows_its_secret_to_nobody_by_accident() -> None:
    many = [f"[2001:db8:aaaa:bbbb:cccc:dddd:eeee:{n:x}]:8448" for n in range(6)]
    code = new_code(BOX, many, lambda size: bytes(range(size)))
    assert code_of(f"  {str(code).lower()}\n") == code
    assert len(str(code)) <= 190
    assert "0001" not in repr(code)
    with pytest.raises(NoCode):
        code_of("@host:1")
