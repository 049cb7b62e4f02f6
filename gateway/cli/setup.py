# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that need no running gateway: init, check, doctor, run, token."""

from __future__ import annotations

import secrets
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from gateway.access import Access
from gateway.cli import context, doctor, template
from gateway.cli.output import Form, Output, say, show
from gateway.cli.private import write_private
from gateway.config import InvalidConfig, Settings, load
from gateway.config.loading import LOCAL_FILE
from gateway.model import ConfigError, GatewayError

LogFormat = Literal["auto", "console", "journal", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("init")(init)
    app.command("check")(check)
    app.command("doctor")(run_doctor)
    app.command("run")(run)
    app.command("token")(token)


def init(
    ctx: typer.Context,
    *,
    name: Annotated[str | None, typer.Option(help="This box's name, unlike its neighbours'.")] = None,
    homeserver: Annotated[str | None, typer.Option(help="https://matrix.example.org; empty: no Matrix.")] = None,
    user_id: Annotated[str | None, typer.Option(help="The gateway's own Matrix user.")] = None,
    room: Annotated[str | None, typer.Option(help="#town:example.org")] = None,
    radio: Annotated[
        str | None, typer.Option(help="serial:auto, serial:/dev/..., tcp:HOST, udp:IFACE; empty: none.")
    ] = None,
    channel: Annotated[str | None, typer.Option(help="The radio channel's name, as phones show it.")] = None,
    lan: Annotated[
        str | None, typer.Option(help="The room of a chat page, and of other boxes: town; empty: none.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="What must survive a reboot goes here.")] = None,
) -> None:
    """Write a configuration: ask for what no option says. Never overwrites one."""
    path = context.of(ctx).config or LOCAL_FILE
    if path.exists():
        raise GatewayError(f"{path} exists already; edit it, or name another file with --config")
    given = {"name": name, "homeserver": homeserver, "user_id": user_id, "room": room, "radio": radio}
    given |= {"channel": channel, "lan": lan, "data_dir": None if data_dir is None else str(data_dir)}
    answers = template.complete(given, _ask if sys.stdin.isatty() else None)
    text = template.render(answers)
    _must_be_taken(text)
    write_private(path, text)
    typer.echo(str(path))
    say(f"written, readable by you alone. Next: {' && '.join(template.next_steps(answers, path))}")
    if answers["homeserver"] and sys.stdin.isatty() and typer.confirm("Log in to Matrix now?", default=True, err=True):
        _log_in(answers, path)


def _must_be_taken(text: str) -> None:
    """ConfigError, as `check` has it, if the file would be refused."""
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / LOCAL_FILE
        write_private(trial, text)
        try:
            load(trial, {})
        except InvalidConfig as error:
            told = "\n".join(problem.render(lambda _: "") for problem in error.problems)
            raise ConfigError(f"{told}\nnothing was written: answer that otherwise") from error


def _ask(question: str, default: str | None) -> str:
    return str(typer.prompt(question, default=default, err=True)).strip()


def _log_in(answers: template.Answers, path: Path) -> None:
    from typer.main import get_command  # noqa: PLC0415 - the whole command line, only when it is asked for

    from gateway.cli.app import build  # noqa: PLC0415

    target = path.absolute().parent / template.TOKEN_FILE
    line = ["matrix", "login", "--homeserver", answers["homeserver"], "--user", answers["user_id"]]
    code = cast("Any", get_command(build())).main([*line, "--token-file", str(target)], standalone_mode=False)
    if code:
        raise typer.Exit(code)


def check(ctx: typer.Context) -> None:
    """Read the configuration, open nothing else, and say what is wrong with it."""
    settings = context.of(ctx).settings()
    _check_token(settings)
    typer.echo(f"{settings.path}: ok (bridges: {len(settings.bridges)}, routes: {len(settings.routes)})")


def run_doctor(ctx: typer.Context, output: Output = Form.TABLE) -> None:
    """Try everything the gateway needs, and print how to mend what fails."""
    findings = doctor.examine(context.of(ctx))
    rows = [{"check": f.check, "result": f.result.value, "found": f.found, "mend": f.mend} for f in findings]
    columns = {
        "result": lambda row: row["result"],
        "check": lambda row: row["check"],
        "found": lambda row: row["found"],
        "mend": lambda row: row["mend"],
    }
    show(rows, columns, output, empty="nothing to check")
    if any(finding.result is doctor.Result.BAD for finding in findings):
        raise typer.Exit(1)


def run(
    ctx: typer.Context,
    log_format: Annotated[LogFormat | None, typer.Option(help="What log lines look like.")] = None,
    log_level: Annotated[LogLevel | None, typer.Option(help="How much is logged.")] = None,
) -> None:
    """Run the gateway until it is told to stop."""
    settings = context.of(ctx).settings()
    wanted = replace(settings.log, format=log_format or settings.log.format, level=log_level or settings.log.level)
    _check_token(settings)
    from gateway import telemetry  # noqa: PLC0415 - only this command needs all of it
    from gateway.service import run as run_service  # noqa: PLC0415

    telemetry.configure(wanted.level, wanted.format)

    raise typer.Exit(run_service(replace(settings, log=wanted)))


def _check_token(settings: Settings) -> None:
    try:
        Access.of(settings.api, settings.gateway.name)
    except ConfigError as error:
        raise ConfigError(f"{settings.path}: {error.key}: {error.reason}. {error.mend}") from error


def token(
    write: Annotated[
        Path | None, typer.Option(help="Put it into this new file, readable by you alone.", metavar="FILE")
    ] = None,
) -> None:
    """Make a token for the API; its file is named by token_file in the api table."""
    made = secrets.token_urlsafe(32)
    if write is None:
        typer.echo(made)
        return
    write_private(write, f"{made}\n")
    typer.echo(str(write))
    say(f'written. In the configuration: [api] token_file = "{write}"')
