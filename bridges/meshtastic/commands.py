# SPDX-License-Identifier: GPL-3.0-or-later
"""``crossband radio ...``: which radios there are, how they are set, and setting them when told so twice.

The running gateway holds its radios' ports, so it is asked; where none runs the port is opened here.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote

import structlog
import typer

from bridges.meshtastic import listing, showing
from bridges.meshtastic.boards import plugged_in
from gateway.model import BridgeError, BridgeName, ConfigError, Declined, Terminal

T = TypeVar("T")
Output = Annotated[Literal["table", "json", "jsonl"], typer.Option("-o", "--output", help="How to write it.")]
Which = Annotated[
    str | None, typer.Argument(metavar="[BRIDGE]", help="A radio bridge's name; needless if there is one.")
]
WITHIN_S = 300.0
"""Longer than a change may take: a restart, and reading back."""
MOST_KEY_FILE_BYTES = 1024


def commands() -> Any:
    """Return the Typer application of this kind of bridge."""
    app = typer.Typer(help="Radios: what is plugged in, how it is set, and setting it.", no_args_is_help=True)
    app.callback()(_radio)
    app.command("list")(list_radios)
    app.command("show")(show)
    app.command("set")(set_)
    return app


def list_radios(
    ctx: typer.Context,
    *,
    ask: Annotated[
        bool, typer.Option("--ask", help="Open the boards that nobody holds, and ask who they are.")
    ] = False,
    output: Output = "table",
) -> None:
    """List the USB boards that may be radios and the configured radio bridges, with who holds what."""
    terminal = _terminal(ctx)
    try:
        tables = terminal.tables("meshtastic")
    except ConfigError as error:
        typer.echo(f"no configuration: {error}", err=True)
        tables = {}
    status = terminal.ask("/bridges") or [] if tables else []
    rows = listing.rows(plugged_in(), tables, status)
    if ask:
        rows = [{**row, **_who(row)} if row["device"] and not row["node"] else row for row in rows]
    terminal.show(rows, listing.COLUMNS, output, empty="no USB board that may be a radio, and no radio bridge")


def show(ctx: typer.Context, bridge: Which = None, output: Output = "table") -> None:
    """Show how a radio is set, keys masked, and what to mend. Nothing is said to the radio but the greeting."""
    terminal = _terminal(ctx)
    name, table = _chosen(terminal, bridge)
    answer = terminal.ask(f"/bridges/{quote(name, safe='')}/settings")
    settings = answer["settings"] if answer is not None else _run(_look(name, table, terminal.conversations(name)))
    if output != "table":
        typer.echo(json.dumps(settings, ensure_ascii=False, indent=2 if output == "json" else None))
        return
    terminal.show(showing.facts(settings), showing.FACTS, output, empty="")
    terminal.show(settings["channels"], showing.CHANNELS, output, empty="no channel is in use")
    for warning in settings["warnings"]:
        typer.echo(f"warning: {warning['words']}", err=True)


def set_(
    ctx: typer.Context,
    bridge: Annotated[str, typer.Argument(help="A radio bridge's name.")],
    changes: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY=VALUE...",
            help="region preset hop_limit tx long_name short_name channel.N.name channel.N.role "
            "channel.N.key=default|none|@FILE time=now",
        ),
    ],
    *,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it. Without it nothing is changed, or said to the radio.")
    ] = False,
    cut_off: Annotated[bool, typer.Option("--cut-off", help="Do it also where it cuts somebody off the mesh.")] = False,
    output: Output = "table",
) -> None:
    """Show what would change (exit 1); with --yes change it, through the radio's restart, and read it back (exit 0)."""
    terminal = _terminal(ctx)
    name, table = _chosen(terminal, bridge)
    wanted = _wanted(changes)
    path = f"/bridges/{quote(name, safe='')}/settings"
    planned = terminal.ask(path, {"settings": wanted})
    is_running = planned is not None
    found = planned["alterations"] if is_running else _run(_plan(terminal, name, table, wanted))
    terminal.show(found, showing.ALTERATIONS, output, empty="all of that is so already")
    if not found:
        return
    _confirm(found, yes=yes, cut_off=cut_off)
    wanted = {one["key"]: wanted[one["key"]] for one in found}  # no more than was shown
    if is_running:
        _have_adjusted(terminal, path, {"settings": wanted, "yes": True, "cut_off": cut_off})
    else:
        typer.echo("no gateway runs: what the radio keeps for it is lost at the restart", err=True)
        _run(_adjust(terminal, name, table, wanted), declined=1)
    typer.echo("done, and read back", err=True)


def _have_adjusted(terminal: Terminal, path: str, asked: Mapping[str, Any]) -> None:
    if terminal.ask(path, asked, within_s=WITHIN_S) is None:
        typer.echo("the gateway stopped meanwhile; whether anything was changed: crossband radio show", err=True)
        raise typer.Exit(1)


def _confirm(found: Sequence[Mapping[str, Any]], *, yes: bool, cut_off: bool) -> None:
    cuts = [f"{one['key']} cuts off {one['cuts_off']}" for one in found if one["cuts_off"]]
    for words in cuts:
        typer.echo(words, err=True)
    if yes and (cut_off or not cuts):
        return
    typer.echo(f"nothing was changed; to do it, add --yes{' --cut-off' if cuts else ''}", err=True)
    raise typer.Exit(1)


def _wanted(changes: Sequence[str]) -> dict[str, str]:
    wanted: dict[str, str] = {}
    for each in changes:
        key, equals, value = each.partition("=")
        if not equals or key in wanted:
            raise typer.BadParameter(f"{key!r}: write KEY=VALUE, each key once")
        wanted[key] = _key(value) if key.startswith("channel.") and key.endswith(".key") else value
    return wanted


def _key(value: str) -> str:
    """Read a channel's key from its file: on the command line every user of the box could see it."""
    if value in {"default", "none"}:
        return value
    if not value.startswith("@"):
        raise typer.BadParameter("a channel's key is default, none, or @FILE, a file with it in base64")
    try:
        with Path(value[1:]).open("rb") as file:
            return file.read(MOST_KEY_FILE_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{value[1:]}: {getattr(error, 'strerror', None) or 'is not text'}") from None


def _chosen(terminal: Terminal, name: str | None) -> tuple[BridgeName, Mapping[str, Any]]:
    tables = terminal.tables("meshtastic")
    if name is None and len(tables) == 1:
        return next(iter(tables.items()))
    if name is None or name not in tables:
        known = ", ".join(tables) or "none"
        asked = "which radio?" if name is None else f"there is no radio bridge called {name!r};"
        raise typer.BadParameter(f"{asked} there is: {known}")
    return BridgeName(name), tables[BridgeName(name)]


def _who(row: Mapping[str, Any]) -> Mapping[str, str]:
    """Return which node a board is, or why that isn't known."""
    if row["held_by"]:
        return {}
    table = {"kind": "meshtastic", "connection": f"serial:{row['port']}"}
    try:
        with _quiet():
            told = asyncio.run(_look(BridgeName(row["bridge"] or "board"), table))
    except BridgeError as error:
        return {"state": str(error)}
    return {"node": f"{told['node']} {told['long_name']}", "state": row["state"] or "no bridge"}


async def _look(name: BridgeName, table: Mapping[str, Any], conversations: Sequence[str] = ()) -> Mapping[str, Any]:
    from bridges.meshtastic import direct  # noqa: PLC0415 - the protobufs, only where no gateway has them

    async with direct.radio(name, table, conversations) as bridge:
        settings = await bridge.look()
        if bridge.unclaimed:
            typer.echo(f"the radio handed over {bridge.unclaimed} messages it had kept for the gateway", err=True)
        return settings


async def _plan(
    terminal: Terminal, name: BridgeName, table: Mapping[str, Any], wanted: Mapping[str, str]
) -> Sequence[Mapping[str, Any]]:
    from bridges.meshtastic import direct  # noqa: PLC0415 - the same

    async with direct.radio(name, table, terminal.conversations(name)) as bridge:
        await bridge.look()
        return [asdict(each) for each in bridge.alterations(wanted)]


async def _adjust(terminal: Terminal, name: BridgeName, table: Mapping[str, Any], wanted: Mapping[str, str]) -> None:
    from bridges.meshtastic import direct  # noqa: PLC0415 - the same

    async with direct.radio(name, table, terminal.conversations(name)) as bridge:
        await direct.adjust(bridge, wanted)


def _run(work: Coroutine[Any, Any, T], *, declined: int = 2) -> T:
    """Run it, with what goes wrong in words; `declined`: the exit code where it was asked for what can't be."""
    try:
        with _quiet():
            return asyncio.run(work)
    except Declined as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(declined) from None
    except (BridgeError, TimeoutError) as error:
        typer.echo(str(error) or "the radio did not answer", err=True)
        raise typer.Exit(1) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the bridge's log off standard output, which is for what was asked."""
    before = structlog.get_config()
    structlog.configure(
        # Not the pretty traceback: it shows local variables, and a greeting's hold the radio's keys.
        processors=[
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def _terminal(ctx: typer.Context) -> Terminal:
    terminal: Terminal = ctx.find_root().obj
    return terminal


def _radio() -> None:
    """Radios: what is plugged in, how it is set, and setting it."""
