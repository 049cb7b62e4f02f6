# SPDX-License-Identifier: GPL-3.0-or-later
"""``crossband matrix login`` against a real homeserver."""

from __future__ import annotations

import asyncio
from pathlib import Path

from typer.testing import CliRunner, Result

from bridges.matrix.commands import commands
from bridges.sim.synapse import free_port
from tests.services import Town


async def login(town: Town, folder: Path, password: str, **instead: str) -> Result:
    options = {"--homeserver": town.server.url, "--user": town.bot.user_id} | instead
    arguments = [word for pair in options.items() for word in pair]
    arguments += ["--token-file", str(folder / "secrets" / "matrix.token")]
    return await asyncio.to_thread(CliRunner().invoke, commands(), ["login", *arguments], input=f"{password}\n")


async def test_a_password_becomes_a_token_in_a_private_file(town: Town, tmp_path: Path) -> None:
    result = await login(town, tmp_path, town.bot.password)
    file = tmp_path / "secrets" / "matrix.token"
    token = file.read_text().strip()

    assert result.exit_code == 0, result.output
    assert file.stat().st_mode & 0o777 == 0o600
    assert token not in result.output
    assert town.bot.password not in result.output
    who = await town.server.request("GET", "/_matrix/client/v3/account/whoami", token=token)
    assert who["user_id"] == town.bot.user_id


async def test_what_does_not_work_is_said_and_writes_nothing(town: Town, tmp_path: Path) -> None:
    wrong = await login(town, tmp_path, "wrong")
    assert (wrong.exit_code, "M_FORBIDDEN" in wrong.output) == (1, True)
    nobody = await login(town, tmp_path, "x", **{"--homeserver": f"http://127.0.0.1:{free_port()}"})
    assert (nobody.exit_code, "can't be reached" in nobody.output) == (1, True)
    nonsense = await login(town, tmp_path, "x", **{"--homeserver": "matrix"})
    assert (nonsense.exit_code, "https://" in nonsense.output) == (2, True)
    assert not (tmp_path / "secrets").exists()
