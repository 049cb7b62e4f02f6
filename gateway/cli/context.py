# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command starts from: which configuration, and the gateway that runs by it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from gateway.cli.output import Columns, Form, Row, show
from gateway.config import Settings, control_socket, find, load
from gateway.control import TIMEOUT_S, Control, NotRunning, Unanswered
from gateway.model import BridgeName


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One call of ``crossband``; kept as the Typer context's object. To the bridges' commands a `Terminal`."""

    config: Path | None
    """What ``--config`` named."""

    def settings(self) -> Settings:
        """Find and read the configuration; ConfigError."""
        return load(find(self.config), os.environ)

    def control(self, *, within_s: float = TIMEOUT_S) -> Control:
        """Return the gateway that runs by this configuration; asking it may raise NotRunning."""
        return Control(control_socket(find(self.config), os.environ), within_s=within_s)

    def tables(self, kind: str) -> Mapping[BridgeName, Mapping[str, Any]]:
        """Return the checked tables of the configured bridges of a kind; ConfigError."""
        return {name: one.table for name, one in self.settings().bridges.items() if one.kind == kind}

    def conversations(self, bridge: BridgeName) -> Sequence[str]:
        """Return what the file's routes name of a bridge; ConfigError."""
        ends = (end for route in self.settings().routes for end in route.ends)
        return tuple(dict.fromkeys(end.conversation for end in ends if end.bridge == bridge))

    def ask(self, path: str, body: Mapping[str, Any] | None = None, *, within_s: float = TIMEOUT_S) -> Any:
        """Ask the running gateway's API; None if no gateway runs, GatewayError if it won't or can't."""
        control = self.control(within_s=within_s)
        try:
            return control.get(path) if body is None else control.post(path, body)
        except Unanswered:
            raise
        except NotRunning:
            return None

    def show(self, rows: Sequence[Row], columns: Columns, form: str, *, empty: str) -> None:
        """Write rows to standard output, in the form of that name."""
        show(rows, columns, Form(form), empty=empty)


def of(ctx: typer.Context) -> Invocation:
    """Return the invocation a command belongs to."""
    found = ctx.find_object(Invocation)
    return found if found is not None else Invocation(config=None)
