# SPDX-License-Identifier: GPL-3.0-or-later
"""``crossband matrix login`` against a real homeserver, and ``crossband matrix registration`` for one."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bridges.matrix.appservice.registration import read_registration
from bridges.matrix.commands import commands
from bridges.sim.loopback import free_port
from tests.services import Town, synapse_or_skip


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


def register(file: Path, *options: str) -> Result:
    return CliRunner().invoke(commands(), ["registration", "--server-name", "gw.test", "--out", str(file), *options])


def test_a_registration_is_written_for_its_owner_only_and_what_to_do_next_is_said(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "registration.yaml"
    result = register(file, "--url", "http://10.0.0.5:9000/", "--bot", "gate")
    made = read_registration(file)

    assert result.exit_code == 0, result.output
    assert file.stat().st_mode & 0o777 == 0o600
    assert made.covers("@gate:gw.test")
    assert made.url == "http://10.0.0.5:9000/"
    assert made.as_token not in result.output
    assert made.hs_token not in result.output
    for line in (
        f'app_service_config_files: ["{file}"]',
        'mode = "appservice"',
        f'registration_file = "{file}"',
        'user_id = "@gate:gw.test"',
        'listen = "10.0.0.5:9000"',
    ):
        assert line in result.output


def test_a_registration_that_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    file = tmp_path / "registration.yaml"
    register(file)
    before = file.read_text()
    refused = register(file, "--no-url")

    assert (refused.exit_code, "--force" in refused.output) == (2, True)
    assert file.read_text() == before
    assert register(file, "--no-url", "--force").exit_code == 0
    after = json.loads(file.read_text())
    assert after["url"] is None
    assert after["as_token"] not in before


@pytest.mark.parametrize("options", [["--server-name", "a b"], ["--bot", "Gate"], ["--url", "10.0.0.5:9000"]])
def test_what_can_not_be_in_a_registration_is_refused(tmp_path: Path, options: list[str]) -> None:
    result = register(tmp_path / "registration.yaml", *options)
    assert result.exit_code == 2
    assert not (tmp_path / "registration.yaml").exists()


def test_a_folder_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = register(tmp_path / "file" / "registration.yaml")
    assert (result.exit_code, "can't be written" in result.output) == (1, True)


def test_synapse_reads_the_registration_as_yaml(tmp_path: Path) -> None:
    file = tmp_path / "registration.yaml"
    register(file)
    program = "import sys, yaml; print(yaml.safe_load(open(sys.argv[1]))['namespaces']['users'][1]['regex'])"
    python = str(synapse_or_skip())
    said = subprocess.run([python, "-I", "-c", program, str(file)], capture_output=True, check=True, env=os.environ)
    assert said.stdout.decode().strip() == r"@mesh_.*:gw\.test"
