# SPDX-License-Identifier: GPL-3.0-or-later
"""``crossband matrix registration``: makes what a homeserver and its application service know of each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from bridges.matrix.appservice.registration import as_text, new_registration
from bridges.matrix.login import write_secret

FILE = Path("secrets/crossband-registration.yaml")
URL = "http://127.0.0.1:18031"

_SERVER = re.compile(r"[A-Za-z0-9.:\[\]-]+")
_LOCALPART = re.compile(r"[a-z0-9._=/+-]+")


def registration(  # noqa: PLR0917 - options of a command line
    server_name: Annotated[str, typer.Option(prompt="Server name", help="What user ids end in: example.org.")],
    bot: Annotated[
        str, typer.Option(help="The gateway's own user, without @ and server; other boxes may add -NAME.")
    ] = "crossband",
    url: Annotated[str, typer.Option(help="Where the homeserver reaches this box; goes with the key listen.")] = URL,
    no_url: Annotated[bool, typer.Option("--no-url", help="The homeserver can't reach this box (NAT).")] = False,
    out: Annotated[Path, typer.Option(help="Where it goes; only you can read it.")] = FILE,
    force: Annotated[
        bool, typer.Option("--force", help="Replace one that is there; its tokens are gone then.")
    ] = False,
) -> None:
    """Write the registration of an application service, for the homeserver and for mode = "appservice"."""
    wrong = _objection(server_name, bot, url)
    if not wrong and out.exists() and not force:
        wrong = f"{out} is there: --force replaces it, and the homeserver needs the new one then"
    if wrong:
        typer.echo(wrong, err=True)
        raise typer.Exit(2)
    made = new_registration(server_name=server_name, bot=bot, url=None if no_url else url)
    try:
        write_secret(out, as_text(made))
    except OSError as error:
        typer.echo(f"{out} can't be written: {error.strerror}", err=True)
        raise typer.Exit(1) from None
    typer.echo(_next_steps(out, server_name, bot, None if no_url else url))


def _objection(server_name: str, bot: str, url: str) -> str:
    if not _SERVER.fullmatch(server_name):
        return f"{server_name!r} is not a server name: what user ids end in, as in example.org"
    if not _LOCALPART.fullmatch(bot):
        return f"{bot!r} can't be a user: small letters, digits and . _ = / + - only"
    if not url.startswith(("http://", "https://")):
        return f"{url!r} is not a URL: write {URL}"
    return ""


def _next_steps(out: Path, server_name: str, bot: str, url: str | None) -> str:
    listen = f'\nlisten = "{url.partition("://")[2].rstrip("/")}"' if url else ""
    return f"""{out} is written. Give the homeserver a copy that it can read, name it in homeserver.yaml and restart it:

app_service_config_files: ["{out.absolute()}"]

In crossband.toml, in the table of the bridge:

mode = "appservice"
registration_file = "{out}"
user_id = "@{bot}:{server_name}\"{listen}"""
