# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a device known and signing it, against a homeserver that answers as the specification lets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridges.matrix.client import Refused
from bridges.matrix.crypto.identity import LOOK_AGAIN_S, Identity
from bridges.matrix.crypto.signing import Seeds, is_signed_by, only_key, public, public_keys
from gateway.model import NotThere

USER, DEVICE = "@crossband:x", "ABC"
PASSWORD_FLOW = {"session": "s1", "flows": [{"stages": ["m.login.password"]}]}


class Machine:
    """The device's side, as far as it is asked here."""

    device_id, fingerprint = DEVICE, "the-key"

    def __init__(self) -> None:
        self.is_published = False
        self.counts: list[int] = []

    @property
    def needs_upload(self) -> bool:
        return not self.is_published or self.counts[-1:] == [0]

    def upload(self) -> dict[str, Any]:
        return {"device_keys": {"device_id": DEVICE, "keys": {f"ed25519:{DEVICE}": self.fingerprint}}}

    def uploaded(self, count: int) -> None:
        self.is_published = True
        self.counts.append(count)

    def unpublish(self) -> None:
        self.is_published = False


class Homeserver:
    """What it has of the account; `asks` and `refuses` are its moods."""

    user_id = USER

    def __init__(self) -> None:
        self.device: dict[str, Any] = {}
        self.signing: dict[str, Any] = {}
        self.asks: dict[str, Any] | None = None
        self.refuses_keys = False
        self.calls: list[str] = []

    async def post(self, *path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.calls.append("/".join(path))
        match path:
            case ("keys", "query"):
                keys = {f"{usage}_keys": {USER: key} for usage, key in self.signing.items()}
                return {"device_keys": {USER: {DEVICE: self.device} if self.device else {}}, **keys}
            case ("keys", "upload"):
                if self.refuses_keys:
                    raise Refused("exists already", status=400, errcode="M_INVALID_PARAM")
                self.device = body["device_keys"]
                return {"one_time_key_counts": {"signed_curve25519": 50}}
            case ("keys", "device_signing", "upload"):
                if self.asks is not None and body.get("auth", {}).get("password") != "right":
                    raise Refused("401", status=401, errcode="", answer=self.asks)
                self.signing = {usage: body[f"{usage}_key"] for usage in ("master", "self_signing", "user_signing")}
            case ("keys", "signatures", "upload"):
                self.device = body[USER][DEVICE]
        return {}


class Case:
    def __init__(self, folder: Path) -> None:
        self.homeserver, self.machine = Homeserver(), Machine()
        self.password: str | None = None
        self.now_s = 0.0
        self.folder = folder
        self.identity = self.anew()

    def anew(self) -> Identity:
        self.identity = Identity(
            self.homeserver,  # type: ignore[arg-type] # the part of a client that is used
            self.folder,
            password=lambda: self.password,
            mend="so",
            now_s=lambda: self.now_s,
        )
        return self.identity

    async def publish(self) -> str:
        await self.identity.publish(self.machine)  # type: ignore[arg-type] # the part that is used
        return self.identity.signing


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


async def test_a_new_device_is_uploaded_and_signed_by_keys_that_were_on_disk_before(case: Case) -> None:
    assert await case.publish() == "cross-signed"
    seeds = Seeds.from_json(json.loads((case.folder / "signing.json").read_text()))
    assert seeds is not None
    assert public(seeds.master) == only_key(case.homeserver.signing["master"])
    assert is_signed_by(case.homeserver.device, public(seeds.self_signing), USER)
    assert (case.folder / "signing.json").stat().st_mode & 0o777 == 0o600


async def test_a_restart_asks_once_and_changes_nothing_and_syncs_between_ask_nothing(case: Case) -> None:
    await case.publish()
    case.homeserver.calls.clear()
    case.anew()
    assert await case.publish() == await case.publish() == "cross-signed"
    assert case.homeserver.calls == ["keys/query", "keys/query"]


async def test_a_homeserver_that_was_reset_gets_the_same_keys_again(case: Case) -> None:
    await case.publish()
    before = case.homeserver.signing
    case.homeserver.device, case.homeserver.signing = {}, {}
    case.identity.connected()
    assert await case.publish() == "cross-signed"
    assert case.homeserver.signing == before


async def test_a_homeserver_that_asks_for_the_password_gets_it(case: Case) -> None:
    case.homeserver.asks, case.password = PASSWORD_FLOW, "right"
    assert await case.publish() == "cross-signed"


@pytest.mark.parametrize(
    ("asks", "password", "words"),
    [
        (PASSWORD_FLOW, None, "not cross-signed: the homeserver wants the account's owner to approve it"),
        (PASSWORD_FLOW, "wrong", "not cross-signed: 401"),
        ({"flows": [None, {"stages": [None, 1]}], "params": []}, "right", "approve it"),
        (
            {"flows": [{"stages": ["m.oauth"]}], "params": {"m.oauth": {"url": "https://mas.x/reset"}}},
            "right",
            "the homeserver wants the account's owner to approve it at https://mas.x/reset",
        ),
    ],
)
async def test_where_it_can_not_be_signed_it_says_why_and_the_device_is_used_all_the_same(
    case: Case, asks: dict[str, Any], password: str | None, words: str
) -> None:
    case.homeserver.asks, case.password = asks, password
    assert words in await case.publish()
    assert case.machine.is_published
    case.homeserver.asks = None
    case.now_s = LOOK_AGAIN_S - 1
    assert words in await case.publish()
    case.now_s = LOOK_AGAIN_S
    assert await case.publish() == "cross-signed"


async def test_keys_that_others_made_are_replaced_only_when_the_operator_says_so(case: Case, tmp_path: Path) -> None:
    case.homeserver.signing = public_keys_of("others")
    words = await case.publish()
    assert "doesn't hold; copy the signing.json" in words
    assert not (case.folder / "signing.json").exists()

    (case.folder / "reset-signing").touch()
    case.homeserver.asks = PASSWORD_FLOW
    case.identity.connected()
    assert "approve it" in await case.publish()
    case.password = "right"
    case.identity.connected()
    assert await case.publish() == "cross-signed"
    assert case.homeserver.signing != public_keys_of("others")
    assert not (case.folder / "reset-signing").exists()


def public_keys_of(name: str) -> dict[str, Any]:
    made = public_keys(Seeds.from_bytes(name.encode() * 16), USER)
    return {usage: made[f"{usage}_key"] for usage in ("master", "self_signing", "user_signing")}


async def test_a_device_with_other_keys_on_the_homeserver_is_not_used(case: Case) -> None:
    case.homeserver.device = {"keys": {f"ed25519:{DEVICE}": "another"}}
    with pytest.raises(NotThere, match=r"device ABC has other keys on the homeserver .* a login of its own, so"):
        await case.publish()
    assert case.identity.is_foreign
    assert case.homeserver.calls == ["keys/query"]


async def test_one_time_keys_from_before_a_backup_are_passed_over(case: Case) -> None:
    await case.publish()
    case.machine.counts.append(0)
    case.homeserver.refuses_keys = True
    await case.publish()
    assert case.machine.counts == [50, 0, 0], "none are left by our count, so others are made"
    case.machine.is_published = False
    with pytest.raises(Refused):
        await case.publish()
