# SPDX-License-Identifier: GPL-3.0-or-later
"""A box is let in by a code that is good once, and finds the others by whichever way there is."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridges.lan.addresses import Source
from bridges.lan.administration import Administration
from bridges.lan.caller import Caller
from bridges.lan.joining import JOIN
from bridges.lan.pairing import Code, new_code, wish_body
from bridges.lan.tls import introduced
from gateway.model import BridgeError, Declined, LinkDown, Rejected
from tests.lan_boxes import LanBox, WallClock, until


@pytest.fixture
async def boxes(tmp_path: Path) -> AsyncIterator[tuple[LanBox, LanBox, LanBox]]:
    """Three boxes, each alone."""
    made = LanBox("a", tmp_path / "a", 1), LanBox("b", tmp_path / "b", 2), LanBox("c", tmp_path / "c", 3)
    async with AsyncExitStack() as running:
        for box in made:
            running.push_async_callback(box.stop)
            await box.start()
        yield made


def hand(box: LanBox) -> Administration:
    return Administration(box.mesh, WallClock())


async def invite(box: LanBox, seconds: int = 900) -> Code:
    """As the command does: only the public half goes to the gateway."""
    code = new_code(box.mesh.box, [box.address], os.urandom)
    key = code.key.public_key().public_bytes_raw().hex()
    (altered,) = await hand(box).adjust({f"invite.{key}": str(seconds)})
    assert code.secret.hex() not in repr(altered)
    return code


async def join(box: LanBox, code: Code) -> None:
    (altered,) = await hand(box).adjust({"join": str(code)})
    assert altered.becomes == code.box
    assert str(code) not in repr(altered)


async def test_a_box_that_was_given_a_code_belongs_and_hears_everything(boxes: tuple[LanBox, LanBox, LanBox]) -> None:
    a, b, c = boxes
    said = await a.say(3) + await b.say(2)
    await join(b, await invite(a))
    await join(c, await invite(b))  # any member lets others in
    await until(lambda: a.mesh.state.have == b.mesh.state.have == c.mesh.state.have)
    assert sorted(await c.heard()) == sorted(said)
    names = [row["name"] for row in hand(c).settings()["members"]]
    assert names == ["a", "b", "c"]
    await c.stop()
    await c.start()
    assert c.mesh.community.root.box == a.mesh.box


async def test_a_code_lets_one_box_in_and_no_second(boxes: tuple[LanBox, LanBox, LanBox]) -> None:
    a, b, c = boxes
    code = await invite(a)
    await join(b, code)
    with pytest.raises(Declined, match=r"not let in: \S+ says that another box used this code\. .*ask for a new one"):
        await c.mesh.join(code)
    assert len(a.mesh.community.members) == 2
    assert a.counts["join_refused"] == 1
    with pytest.raises(Declined, match="belongs to a community of 2 boxes already"):
        await b.mesh.join(await invite(a))


async def test_who_got_no_answer_may_ask_again_with_the_same_code(boxes: tuple[LanBox, LanBox, LanBox]) -> None:
    a, b, _ = boxes
    code = await invite(a)
    body = wish_body(b.key, "b", code.key.public_key())
    async with Caller() as caller:
        for _ in range(2):
            await caller.post(a.address, JOIN, body, introduced(code.key))
    await b.mesh.join(code)
    assert len(a.mesh.community.members) == 2


async def test_who_is_not_let_in_is_told_what_the_box_that_invites_says_and_not_what_others_do(
    boxes: tuple[LanBox, LanBox, LanBox],
) -> None:
    a, b, c = boxes
    await join(b, code := await invite(a))
    c.mesh.places.learn(b.address, Source.FOUND)
    with pytest.raises(Declined) as refused:
        await c.mesh.join(code)
    assert b.address not in str(refused.value)


async def test_a_box_that_was_put_out_sees_that_the_others_hang_up_on_it(
    boxes: tuple[LanBox, LanBox, LanBox],
) -> None:
    a, b, _ = boxes
    await join(b, await invite(a))
    await until(lambda: len(b.mesh.live()) == len(a.mesh.live()) == 2)
    assert hand(b).settings()["warnings"] == []
    put_out, b.peers = b.mesh.box, [a.address]
    await b.stop()
    await a.mesh.community.remove(put_out)
    await b.start()
    await until(lambda: bool(hand(b).settings()["warnings"]))
    (warning,) = hand(b).settings()["warnings"]
    assert warning["words"] == f"{a.address} hung up on this box, as boxes do on one that was put out: docs/lan.md"


async def test_a_name_that_two_boxes_have_and_one_that_the_others_do_not_know_are_said(
    boxes: tuple[LanBox, LanBox, LanBox],
) -> None:
    a, b, _ = boxes
    await join(b, await invite(a))
    b.mesh.settings = replace(b.mesh.settings, name="bee")
    (warning,) = hand(b).settings()["warnings"]
    assert warning["words"] == "the others know this box as b, under which it joined; [gateway] name is bee"
    b.mesh.settings = replace(b.mesh.settings, name="a")
    (warning,) = hand(b).settings()["warnings"]
    assert warning["words"].startswith("another box is called a, too")


async def test_without_an_open_code_nobody_gets_through_the_handshake(boxes: tuple[LanBox, LanBox, LanBox]) -> None:
    a, b, _ = boxes
    made_up = new_code(a.mesh.box, [a.address], os.urandom)
    with pytest.raises(Declined, match=r"not let in: \S+ hung up, as boxes do on whom they don't know\. "):
        await b.mesh.join(made_up)
    body = wish_body(b.key, "b", made_up.key.public_key())
    async with Caller() as caller:
        with pytest.raises(LinkDown):
            await caller.post(a.address, JOIN, body, introduced(made_up.key))
    assert not a.counts
    assert len(a.mesh.community.members) == 1


async def test_a_code_of_one_box_is_not_answered_by_another(boxes: tuple[LanBox, LanBox, LanBox]) -> None:
    a, b, c = boxes
    code = await invite(a)
    c.mesh.community.invite(code.key.public_key().public_bytes_raw())  # the worst case: c accepts the key, too
    wrong = Code(box=code.box, secret=code.secret, addresses=(c.address,))
    with pytest.raises(Declined, match="another box than the one that invites"):
        await b.mesh.join(wrong)
    assert b.mesh.community.root.box == b.mesh.box


async def test_nobody_brings_in_a_key_that_is_not_its_own(boxes: tuple[LanBox, LanBox, LanBox]) -> None:
    a, b, c = boxes
    code = await invite(a)
    other = Ed25519PrivateKey.generate()
    body = wish_body(other, "x", code.key.public_key()).replace(
        other.public_key().public_bytes_raw().hex().encode(), c.key.public_key().public_bytes_raw().hex().encode()
    )
    async with Caller() as caller:
        with pytest.raises(BridgeError):
            await caller.post(a.address, JOIN, body, introduced(code.key))
        with pytest.raises(Rejected):  # an invitation is good for joining and nothing else
            await caller.post(a.address, "/sync", b"{}", introduced(code.key))
    assert a.counts["join_malformed"] == 1
    assert len(a.mesh.community.members) == 1
    assert b.mesh.community.members


async def test_who_puts_a_box_out_is_told_whom_that_one_let_in(boxes: tuple[LanBox, LanBox, LanBox]) -> None:
    a, b, c = boxes
    await join(b, await invite(a))
    await join(c, await invite(b))
    await until(lambda: len(a.mesh.community.members) == 3)
    (altered,) = hand(a).alterations({"remove.b": "yes"})
    assert altered.cuts_off == f"box b; boxes it let in stay: c ({c.mesh.box[:8]})"


async def test_a_box_that_was_put_out_can_not_be_let_in_under_the_same_key(
    boxes: tuple[LanBox, LanBox, LanBox],
) -> None:
    a, b, _ = boxes
    await join(b, await invite(a))
    (altered,) = hand(a).alterations({"remove.b": "yes"})
    assert altered.cuts_off == "box b"
    await hand(a).adjust({f"remove.{b.mesh.box[:6]}": "yes"})
    assert [member.name for member in a.mesh.community.members] == ["a"]
    code = await invite(a)
    async with Caller() as caller:
        with pytest.raises(Rejected, match="409"):
            await caller.post(a.address, JOIN, wish_body(b.key, "b", code.key.public_key()), introduced(code.key))


async def test_what_makes_no_sense_is_declined_in_words(boxes: tuple[LanBox, LanBox, LanBox]) -> None:
    a, _, _ = boxes
    for wanted in (
        {"remove.nobody": "yes"},
        {"remove.a": "yes"},
        {"join": "ABC"},
        {"colour": "red"},
        {"invite.00": "9"},
    ):
        with pytest.raises(Declined):
            hand(a).alterations(wanted)
    for number in range(8):
        await invite(a, 60 + number)
    with pytest.raises(Declined, match="too many invitations"):
        await invite(a)
    assert len(hand(a).settings()["invitations"]) == 8


async def test_boxes_find_each_other_by_mdns_alone_on_v4_and_v6(tmp_path: Path) -> None:
    a, b = LanBox("a", tmp_path / "a", 1), LanBox("b", tmp_path / "b", 2)
    for box in (a, b):
        box.sync, box.discover, box.interfaces = "0.0.0.0:0", True, ("lo",)
    async with AsyncExitStack() as running:
        for box in (a, b):
            running.push_async_callback(box.stop)
            await box.start()
            assert box.mesh.discovery is not None
            assert not box.mesh.discovery.reason
        code = await invite(a)
        await until(lambda: list(b.mesh.places))
        await b.mesh.join(Code(box=code.box, secret=code.secret))  # the code doesn't say where
        said = await b.say(2)
        await until(lambda: a.mesh.state.have == b.mesh.state.have)
        assert await a.heard() == said
        assert {place.address.rpartition(":")[0] for place in b.mesh.places} == {"127.0.0.1", "[::1]"}


async def test_boxes_that_reach_each_other_at_two_addresses_go_on_hearing_each_other(
    boxes: tuple[LanBox, LanBox, LanBox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both answered at once after a start, and each was taken for the spare of the other: nobody called any more."""
    monkeypatch.setattr("bridges.lan.links.EVERY_S", 0.2)
    a, b, _ = boxes
    await join(b, await invite(a))
    for one, other in ((a, b), (b, a)):
        _, port = other.address.split(":")
        for host in ("127.0.0.1", "localhost"):
            one.mesh._links.learn(f"{host}:{port}", Source.FOUND, other.mesh.box)
    for place in (*a.mesh.places, *b.mesh.places):
        await until(lambda place=place: place.is_up or place.failures > 0)
        place.is_up = True
    before = hand(a).settings()["members"][1]["counts"].get("exchanges", 0)
    await until(lambda: hand(a).settings()["members"][1]["counts"].get("exchanges", 0) > before + 2)
