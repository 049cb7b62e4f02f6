# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's own user in appservice mode: it needs no password, the registration's token speaks for it."""

from __future__ import annotations

from pathlib import Path

import structlog

from bridges.matrix.appservice.ghosts import DEVICE, make_device, register
from bridges.matrix.appservice.registration import Registration, read_registration
from bridges.matrix.client import Client, Refused
from bridges.matrix.config import MatrixConfig
from bridges.matrix.convert import localpart
from bridges.matrix.login import Credentials
from bridges.matrix.wire import text
from gateway.model import AuthFailed

log = structlog.get_logger()

BOT_NAME = "Crossband"
_OTHERS = 0o077
_MEND = "name the file in its app_service_config_files and restart it"


class Enrolment(Credentials):
    """Makes the gateway's user and its device on the homeserver, and lets the client speak as it."""

    def __init__(self, config: MatrixConfig, state_dir: Path) -> None:
        super().__init__(config, state_dir)
        self.registration: Registration | None = None

    async def authenticate(self, client: Client) -> None:
        """Let the client speak as our user; AuthFailed, with the mend, if the homeserver doesn't let us."""
        registration = self._read()
        client.token = registration.as_token
        client.login_mend = f"the homeserver must know the registration: {_MEND}"
        client.act_as(self._config.user_id)
        await self._enrol(client)
        await self._check(client)
        self.registration = registration

    def _read(self) -> Registration:
        file = self._config.registration_file
        if file is None:
            raise AuthFailed("no registration_file: make one with `crossband matrix registration`")
        registration = read_registration(file)
        if file.stat().st_mode & _OTHERS:
            log.warning("matrix_registration_readable", file=file.name, mend="chmod 600")
        if not registration.covers(self._config.user_id):
            raise AuthFailed(f"{self._config.user_id} is not one of the users the registration names")
        return registration

    async def _enrol(self, client: Client) -> None:
        try:
            is_new = await register(client, localpart(self._config.user_id))
            device_id = await make_device(client, self._config.device_id or DEVICE)
            client.act_as(self._config.user_id, device_id)
            client.device_id = device_id
            if is_new:
                path = ("profile", client.user_id, "displayname")
                await client.put(*path, body={"displayname": BOT_NAME})
        except Refused as refused:
            raise AuthFailed(f"{self._config.user_id} can't be used: {refused}") from refused
        except AuthFailed as error:
            raise AuthFailed(f"the homeserver doesn't know the registration's as_token: {_MEND}") from error

    async def _check(self, client: Client) -> None:
        user = text((await client.get("account", "whoami")).get("user_id"))
        if user != self._config.user_id:
            raise AuthFailed(f"the homeserver takes us for {user or 'nobody'}, not for {self._config.user_id}")
