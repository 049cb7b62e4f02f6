# SPDX-License-Identifier: GPL-3.0-or-later
"""``crossband lan ...``: which boxes belong together, letting one in, joining, putting one out.

The running gateway holds the log, so it is asked; nothing of it is opened here.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import quote

import segno
import typer

from bridges.lan.event import BoxId
from bridges.lan.pairing import GOOD_FOR_S, LONGEST_S, NoCode, code_of, new_code
from gateway.model import BridgeName, Terminal

Output = Annotated[Literal["table", "json", "jsonl"], typer.Option("-o", "--output", help="How to write it.")]
Which = Annotated[str | None, typer.Option("--bridge", help="A LAN bridge's name; needless if there is one.")]
WITHIN_S = 120.0
"""Longer than trying every address of a code takes."""
PEERS: Mapping[str, Callable[..., object]] = {
    "box": lambda row: row["name"],
    "id": lambda row: row["box"][:8],
    "at": lambda row: "here" if row["here"] else ", ".join(row["addresses"]) or row["reason"] or "-",
    "heard": lambda row: "now" if row["here"] else "never" if row["heard_s"] is None else f"{row['heard_s']} s ago",
    "it lacks": lambda row: "?" if row["lacks"] is None else row["lacks"],
    "we lack": lambda row: "?" if row["ahead"] is None else row["ahead"],
    "noticed": lambda row: " ".join(f"{kind}={count}" for kind, count in sorted(row["counts"].items())) or "-",
}


def commands() -> Any:
    """Return the Typer application of this kind of bridge."""
    app = typer.Typer(help="The LAN mesh: which boxes belong together.", no_args_is_help=True)
    app.callback()(_lan)
    app.command("invite")(invite)
    app.command("join")(join)
    app.command("peers")(peers)
    app.command("remove")(remove)
    return app


def invite(
    ctx: typer.Context,
    minutes: Annotated[int, typer.Option(min=1, max=int(LONGEST_S // 60), help="For how long the code is good.")] = int(
        GOOD_FOR_S // 60
    ),
    bridge: Which = None,
) -> None:
    """Print a code that lets one box in, once, and as a QR code. Whoever has it can join: hand it over yourself."""
    terminal, name = _terminal(ctx), _chosen(ctx, bridge)
    mine = _settings(terminal, name)
    code = new_code(BoxId(mine["box"]), mine["addresses"], secrets.token_bytes)
    key = code.key.public_key().public_bytes_raw().hex()
    _change(terminal, name, {f"invite.{key}": str(minutes * 60)})
    typer.echo(f"crossband lan join {code}")
    segno.make(str(code), micro=False).terminal(compact=True)
    typer.echo(f"good once, for {minutes} minutes, while the gateway runs", err=True)


def join(
    ctx: typer.Context,
    code: Annotated[str, typer.Argument(help="What `crossband lan invite` printed on a box of the community.")],
    at: Annotated[str, typer.Option("--at", metavar="HOST:PORT", help="Where that box is, if it isn't found.")] = "",
    bridge: Which = None,
) -> None:
    """Join the community of the box that printed the code; this box must be alone so far."""
    terminal, name = _terminal(ctx), _chosen(ctx, bridge)
    try:
        wanted = code_of(f"{code},{at}" if at and "@" in code else f"{code}@{at}" if at else code)
    except NoCode as error:
        raise typer.BadParameter(str(error)) from None
    _change(terminal, name, {"join": str(wanted)})
    members = _settings(terminal, name)["members"]
    typer.echo(f"joined: {', '.join(row['name'] for row in members)}", err=True)


def peers(ctx: typer.Context, bridge: Which = None, output: Output = "table") -> None:
    """List the boxes that belong: where each is, when it was heard, and how much it has still to get, or we have."""
    terminal, name = _terminal(ctx), _chosen(ctx, bridge)
    found = _settings(terminal, name)
    if output == "json":
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        terminal.show(found["members"], PEERS, output, empty="no box belongs")
    for warning in found["warnings"]:
        typer.echo(f"warning: {warning['words']}", err=True)


def remove(
    ctx: typer.Context,
    box: Annotated[str, typer.Argument(help="A box's name, or its id or the beginning of that.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do it: the box can come back as a new one only.")] = False,
    bridge: Which = None,
) -> None:
    """Put a box out: what we have of it stays, what it says from now on counts nowhere."""
    terminal, name = _terminal(ctx), _chosen(ctx, bridge)
    wanted = {f"remove.{box}": "yes"}
    found = _asked(terminal.ask(_path(name), {"settings": wanted}))["alterations"]
    for each in found:
        typer.echo(f"cuts off {each['cuts_off']}", err=True)
    if not yes:
        typer.echo("nothing was changed; to do it, add --yes", err=True)
        raise typer.Exit(1)
    _change(terminal, name, wanted)
    typer.echo("done; the other boxes hear of it as they are reached", err=True)


def _change(terminal: Terminal, name: BridgeName, wanted: Mapping[str, str]) -> None:
    _asked(terminal.ask(_path(name), {"settings": dict(wanted), "yes": True, "cut_off": True}, within_s=WITHIN_S))


def _settings(terminal: Terminal, name: BridgeName) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _asked(terminal.ask(_path(name)))["settings"]
    return found


def _asked(answer: Any) -> Any:
    if answer is None:
        typer.echo("no gateway is running, and it holds the log. Start it with `crossband run`", err=True)
        raise typer.Exit(1)
    return answer


def _path(name: BridgeName) -> str:
    return f"/bridges/{quote(name, safe='')}/settings"


def _chosen(ctx: typer.Context, name: str | None) -> BridgeName:
    tables = _terminal(ctx).tables("lan")
    if name is None and len(tables) == 1:
        return next(iter(tables))
    if name is None or name not in tables:
        known = ", ".join(tables) or "none"
        asked = "which LAN bridge?" if name is None else f"there is no LAN bridge called {name!r};"
        raise typer.BadParameter(f"{asked} there is: {known}")
    return BridgeName(name)


def _terminal(ctx: typer.Context) -> Terminal:
    terminal: Terminal = ctx.find_root().obj
    return terminal


def _lan() -> None:
    """The LAN mesh: which boxes belong together."""
