# SPDX-License-Identifier: GPL-3.0-or-later
"""Logging in: from a password to a token, and a token to a file that only its owner reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from bridges.matrix.client import Client, Refused
from bridges.matrix.config import MatrixConfig
from bridges.matrix.wire import mapping, read_json, text
from gateway.model import AuthFailed, ProtocolError, files

log = structlog.get_logger()

DEVICE_NAME = "Crossband"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What the homeserver gave for a password."""

    user_id: str
    device_id: str
    access_token: str = field(repr=False)


async def log_in(client: Client, user: str, password: str, device_id: str | None = None) -> Login:
    """Log in on a connected client, as the device named or a new one; AuthFailed if it is refused."""
    wish = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": user},
        "password": password,
        "initial_device_display_name": DEVICE_NAME,
    }
    try:
        answer = await client.post("login", body=wish | ({"device_id": device_id} if device_id else {}))
    except Refused as refused:
        raise AuthFailed(f"login as {user} refused: {refused.errcode}") from refused
    login = _login(answer)
    if login is None:
        raise ProtocolError("the homeserver's answer to a login lacks the token")
    return login


def read_secret(file: Path) -> str:
    """Return the secret in a file; AuthFailed, with the mend, if there is none."""
    try:
        secret = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AuthFailed(f"{file} can't be read: run `crossband matrix login`") from error
    if not secret:
        raise AuthFailed(f"{file} is empty: run `crossband matrix login`")
    return secret


def write_secret(file: Path, secret: str) -> None:
    """Write a file that only its owner reads (0600): the whole of it or nothing. OSError if it can't."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    files.replace(file, f"{secret}\n")


def keep(file: Path, secret: str) -> None:
    """Write a file as `write_secret` does; where it can't, say so and go on: it saves work, not messages."""
    try:
        write_secret(file, secret)
    except OSError as error:
        log.warning("matrix_state_not_kept", file=file.name, reason=error.strerror)


def read_kept(file: Path) -> Mapping[str, Any]:
    """Return what `keep` or `write_secret` put into a file as JSON; nothing where it isn't there or can't be read."""
    try:
        return mapping(read_json(file.read_bytes()))
    except (OSError, ValueError):
        return {}


class Credentials:
    """The token a bridge uses: the operator's, or one it got for a password and keeps in `state_dir`."""

    def __init__(self, config: MatrixConfig, state_dir: Path) -> None:
        self._config = config
        self._kept = state_dir / "login.json"

    async def authenticate(self, client: Client) -> None:
        """Give the client a token that works; AuthFailed if there is none, or it is another user's."""
        if self._config.access_token_file is not None:
            client.token = read_secret(self._config.access_token_file)
        elif not await self._reuse(client):
            await self._log_in(client)
        await self._check(client)

    async def _check(self, client: Client) -> None:
        answer = await client.get("account", "whoami")
        user, client.device_id = text(answer.get("user_id")), text(answer.get("device_id"))
        if user != self._config.user_id:
            raise AuthFailed(f"the token is for {user or 'nobody'}, not for {self._config.user_id}")

    async def _reuse(self, client: Client) -> bool:
        login = self._last()
        client.token = login.access_token if login else ""
        if not client.token:
            return False
        try:
            await self._check(client)
        except AuthFailed:
            return False
        return True

    async def _log_in(self, client: Client) -> None:
        if self._config.password_file is None:
            raise AuthFailed("neither a token nor a password: run `crossband matrix login`")
        password = read_secret(self._config.password_file)
        last = self._last()
        # The same device each time: transaction ids are only remembered within one.
        device_id = self._config.device_id or (last.device_id if last else None)
        client.token = ""
        login = await log_in(client, self._config.user_id, password, device_id)
        kept = {"user_id": login.user_id, "device_id": login.device_id, "access_token": login.access_token}
        keep(self._kept, json.dumps(kept))
        client.token = login.access_token

    def _last(self) -> Login | None:
        login = _login(read_kept(self._kept))
        return login if login and login.user_id == self._config.user_id else None


def _login(answer: object) -> Login | None:
    fields = {key: text(mapping(answer).get(key)) for key in ("user_id", "device_id", "access_token")}
    return Login(**fields) if all(fields.values()) else None
