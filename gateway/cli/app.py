# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the commands together; the bridges' own are imported only when they are called."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from gateway.cli import letters, moderation, nodes, outages, queue, reading, rulings, sending, setup
from gateway.cli.context import Invocation
from gateway.cli.output import say
from gateway.control import Refused
from gateway.model import ConfigError, GatewayError
from gateway.registry import command_groups
from gateway.version import version

_CONFIG = "--config"
_KNOWN = {
    "demo": "Try it: a homeserver, radios and a gateway on this machine.",
    "radio": "Radios: what is plugged in, how it is set, and setting it.",
}


class Commands(TyperGroup):
    """Our commands, then those of the installed bridges."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Let ``--config`` stand anywhere before ``--``, as people write it after the command too."""
        return super().parse_args(ctx, _config_first(args))

    def list_commands(self, ctx: Any) -> list[str]:
        """Return every name, importing no bridge."""
        return list(dict.fromkeys([*super().list_commands(ctx), *sorted(command_groups())]))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command as the help lists it: a bridge's is only a name and a line."""
        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name not in command_groups():
            return own
        return TyperCommand(cmd_name, help=_KNOWN.get(cmd_name, f"Commands of {cmd_name} bridges."))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command to run; here a bridge's is imported."""
        name = args[0]
        groups = command_groups()
        if super().get_command(ctx, name) is None and name in groups:
            return name, get_command(_load(name, groups[name])), args[1:]
        return super().resolve_command(ctx, args)


def _load(name: str, loader: Any) -> typer.Typer:
    try:
        made: typer.Typer = loader()()
    except ImportError as error:
        raise GatewayError(f"the commands of {name} can't be loaded: {error}") from error
    return made


def _config_first(args: list[str]) -> list[str]:
    end = args.index("--") if "--" in args else len(args)
    for place, arg in enumerate(args[:end]):
        if arg == _CONFIG and place + 1 < end:
            return [*args[place : place + 2], *args[:place], *args[place + 2 :]]
        if arg.startswith(f"{_CONFIG}="):
            return [arg, *args[:place], *args[place + 1 :]]
    return args


def build() -> typer.Typer:
    """Return the whole command line."""
    app = typer.Typer(
        cls=Commands,
        name="crossband",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for part in (setup, reading, nodes, outages, rulings, moderation, sending):
        part.add_to(app)
    app.add_typer(queue.build(), name="queue")
    app.add_typer(letters.build(), name="dead-letters")
    return app


def _print_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"crossband {version()}")
        raise typer.Exit


def _root(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(_CONFIG, help="The file; else ./crossband.toml, else /etc/crossband/config.toml.", metavar="FILE"),
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback does it
        bool, typer.Option("--version", help="Say which version this is.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Carry text between Matrix, Meshtastic radios and a LAN mesh, through outages."""
    ctx.obj = Invocation(config=config)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run ``crossband`` and exit: 0 done, 1 the work failed, 2 wrong use or configuration.

    `args`: by default the process's own.
    """
    try:
        build()(args=args, prog_name="crossband")
    except ConfigError as error:
        say(str(error))
        sys.exit(2)
    except GatewayError as error:
        say(str(error))
        sys.exit(2 if isinstance(error, Refused) and error.status == HTTPStatus.UNPROCESSABLE_ENTITY else 1)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)
