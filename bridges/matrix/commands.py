# SPDX-License-Identifier: GPL-3.0-or-later
"""``crossband matrix ...``: what an operator does for a Matrix bridge by hand."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from bridges.matrix.appservice.commands import registration
from bridges.matrix.client import Client
from bridges.matrix.config import MatrixConfig
from bridges.matrix.login import Login, log_in, read_secret, write_secret
from gateway.model import BridgeError, ConfigError


def commands() -> Any:
    """Return the Typer application of this kind of bridge."""
    app = typer.Typer(
        help="Matrix: log the gateway in, or register it as an application service.", no_args_is_help=True
    )
    app.callback()(_matrix)
    app.command()(login)
    app.command()(registration)
    return app


def login(
    homeserver: Annotated[str, typer.Option(prompt="Homeserver URL", help="https://matrix.example.org")],
    user: Annotated[str, typer.Option(prompt="User id", help="@crossband:example.org")],
    token_file: Annotated[Path, typer.Option(help="Where the token goes; only you can read it.")] = Path(
        "secrets/matrix.token"
    ),
    password_file: Annotated[Path | None, typer.Option(help="Read the password here instead of asking.")] = None,
) -> None:
    """Log in with a password and keep the token in a file for `access_token_file`."""
    try:
        password = read_secret(password_file) if password_file else typer.prompt("Password", hide_input=True)
        made = asyncio.run(obtain(homeserver, user, password))
        write_secret(token_file, made.access_token)
    except ConfigError as error:
        typer.echo(f"{error.reason}: write {error.mend}", err=True)
        raise typer.Exit(2) from None
    except (BridgeError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo(f'Logged in as {made.user_id}, device {made.device_id}.\naccess_token_file = "{token_file}"')


async def obtain(homeserver: str, user: str, password: str) -> Login:
    """Return a new login; ConfigError for what can't be an address or user, BridgeError for a refusal."""
    config = MatrixConfig.from_table({"homeserver": homeserver, "user_id": user, "password_file": "-"})
    client = Client(config.homeserver, config.user_id)
    await client.connect()
    try:
        return await log_in(client, config.user_id, password)
    finally:
        await client.close()


def _matrix() -> None:
    """Log the gateway in to Matrix, or register it there."""
