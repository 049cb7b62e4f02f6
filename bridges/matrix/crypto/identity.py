# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the device known on its homeserver, and signs it with the account's cross-signing keys."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from bridges.matrix.client import Client, Refused
from bridges.matrix.crypto.signing import SEED_BYTES, USAGES, Seeds, is_signed_by, only_key, public, public_keys, signed
from bridges.matrix.login import write_secret
from bridges.matrix.wire import mapping, read_json, sequence, text
from gateway.model import NotThere

if TYPE_CHECKING:
    from bridges.matrix.crypto.machine import Machine

log = structlog.get_logger()

SEEDS = "signing.json"
RESET = "reset-signing"
"""A file by which the operator says that the account's cross-signing keys may be replaced."""
SIGNED = "cross-signed"
_OTHERS = (
    "not cross-signed: the account has cross-signing keys that this box doesn't hold; copy the "
    f"{SEEDS} of the box that made them, or see docs/matrix.md on {RESET}"
)
LOOK_AGAIN_S = 600.0
"""Where something keeps the device from being signed, only a person can mend it."""


class Identity:
    """The device's public side.

    `password` is asked for where the homeserver wants to see it again; `mend` says how to get another device;
    `now_s` is the monotonic clock.
    """

    def __init__(
        self,
        client: Client,
        folder: Path,
        *,
        password: Callable[[], str | None],
        mend: str,
        now_s: Callable[[], float],
    ) -> None:
        self._client = client
        self._mend = mend
        self._now_s = now_s
        self._file = folder / SEEDS
        self._reset = folder / RESET
        self._password = password
        self._check_at_s = 0.0
        self.is_foreign = False
        """Whether the homeserver has other keys for the device: nobody could read what we encrypt."""
        self.signing = ""
        """How it stands with cross-signing, in words; empty: not known yet."""

    def connected(self) -> None:
        """Look at everything anew: the homeserver may have been reset."""
        self._check_at_s = 0.0

    async def publish(self, machine: Machine) -> None:
        """Upload what the homeserver lacks; NotThere if the device can't be used, in words.

        Raises LinkDown, RateLimited, AuthFailed, Refused as the homeserver does.
        """
        is_due = self._now_s() >= self._check_at_s
        if is_due:
            known = await self._known()
            self._compare(machine, mapping(known.get("device_keys")))
        if machine.needs_upload:
            await self._upload(machine)
        if is_due:
            self.signing = await self._sign(machine)
            self._check_at_s = math.inf if self.signing == SIGNED else self._now_s() + LOOK_AGAIN_S

    def _compare(self, machine: Machine, devices: Mapping[str, Any]) -> None:
        own = mapping(mapping(devices.get(self._client.user_id)).get(machine.device_id))
        self.is_foreign = False
        there = text(mapping(own.get("keys")).get(f"ed25519:{machine.device_id}"))
        if not there:
            if machine.is_published:
                log.warning("matrix_device_keys_gone", device=machine.device_id)
                machine.unpublish()
        elif there != machine.fingerprint:
            self.is_foreign = True
            # Others know the device by those keys and would refuse new ones: only a new device helps.
            raise NotThere(
                f"device {machine.device_id} has other keys on the homeserver (another box's, or lost here): "
                f"give this box a login of its own, {self._mend}"
            )

    async def _upload(self, machine: Machine) -> None:
        try:
            answer = await self._client.post("keys", "upload", body=machine.upload())
        except Refused as refused:
            if refused.status != HTTPStatus.BAD_REQUEST or not machine.is_published:
                raise
            # Keys of these ids are there already, from before a backup was restored: make others next time.
            log.warning("matrix_one_time_keys_refused", reason=str(refused))
            machine.uploaded(0)
            return
        count = mapping(answer.get("one_time_key_counts")).get("signed_curve25519")
        machine.uploaded(count if isinstance(count, int) else 0)

    async def _sign(self, machine: Machine) -> str:
        known = await self._known()
        user_id = self._client.user_id
        theirs = {usage: only_key(mapping(known.get(f"{usage}_keys")).get(user_id)) for usage in USAGES}
        device = mapping(mapping(mapping(known.get("device_keys")).get(user_id)).get(machine.device_id))
        if theirs["self_signing"] and is_signed_by(device, theirs["self_signing"], user_id):
            return SIGNED
        seeds = self._usable(theirs["master"])
        if seeds is None:
            return _OTHERS
        if any(theirs[usage] != public(getattr(seeds, usage)) for usage in USAGES) and (
            trouble := await self._upload_signing(seeds)
        ):
            return trouble
        self._reset.unlink(missing_ok=True)
        if text(mapping(device.get("keys")).get(f"ed25519:{machine.device_id}")) != machine.fingerprint:
            return "not cross-signed: the homeserver doesn't show the device's own keys"
        return await self._sign_device(machine.device_id, device, seeds)

    def _usable(self, master: str) -> Seeds | None:
        """Return the seeds to sign with, made where there are none; None where somebody else's must stay."""
        seeds = self._seeds()
        is_others = bool(master) and (seeds is None or public(seeds.master) != master)
        if is_others and not self._reset.exists():
            return None
        return seeds or self._make()

    async def _sign_device(self, device_id: str, device: Mapping[str, Any], seeds: Seeds) -> str:
        user_id = self._client.user_id
        body = {user_id: {device_id: signed(device, seeds.self_signing, user_id)}}
        answer = await self._client.post("keys", "signatures", "upload", body=body)
        if mapping(answer.get("failures")).get(user_id):
            return "not cross-signed: the homeserver refused the signature"
        log.info("matrix_device_cross_signed", user=user_id, device=device_id)
        return SIGNED

    async def _upload_signing(self, seeds: Seeds) -> str:
        """Give the homeserver the public keys; return what keeps it from taking them, in words."""
        body = public_keys(seeds, self._client.user_id)
        try:
            await self._client.post("keys", "device_signing", "upload", body=body)
        except Refused as refused:
            if refused.status != HTTPStatus.UNAUTHORIZED:
                return f"not cross-signed: {refused}"
            return await self._upload_approved(body, refused)
        return ""

    async def _upload_approved(self, body: Mapping[str, Any], asked: Refused) -> str:
        """Answer the homeserver that wants to know it is us: only the first upload needs nothing (MSC3967)."""
        stages = [stage for flow in sequence(asked.answer.get("flows")) for stage in _stages(flow)]
        password = self._password() if "m.login.password" in stages else None
        if password is None:
            url = _approval(asked.answer)
            where = f" at {url}" if url else ""
            return f"not cross-signed: the homeserver wants the account's owner to approve it{where}"
        auth = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": self._client.user_id},
            "password": password,
            "session": text(asked.answer.get("session")),
        }
        try:
            await self._client.post("keys", "device_signing", "upload", body={**body, "auth": auth})
        except Refused as refused:
            return f"not cross-signed: {refused}"
        return ""

    async def _known(self) -> Mapping[str, Any]:
        return await self._client.post("keys", "query", body={"device_keys": {self._client.user_id: []}})

    def _seeds(self) -> Seeds | None:
        try:
            return Seeds.from_json(read_json(self._file.read_bytes()))
        except (OSError, ValueError):
            return None

    def _make(self) -> Seeds:
        # On disk before the homeserver knows of them: lost afterwards, only the account's owner could reset them.
        seeds = Seeds.from_bytes(secrets.token_bytes(3 * SEED_BYTES))
        write_secret(self._file, json.dumps(seeds.as_json()))
        return seeds


def _stages(flow: object) -> list[str]:
    return [text(stage) for stage in sequence(mapping(flow).get("stages"))]


def _approval(answer: Mapping[str, Any]) -> str:
    """Return the page where an OAuth homeserver (MAS) lets the owner approve (MSC4312)."""
    params = mapping(answer.get("params"))
    urls = (text(mapping(stage).get("url")) for stage in params.values())
    return next((url for url in urls if url.startswith("https://")), "")
