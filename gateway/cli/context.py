# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command starts from: which configuration, and the gateway that runs by it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import typer

from gateway.config import Settings, control_socket, find, load
from gateway.control import Control


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One call of ``crossband``; kept as the Typer context's object."""

    config: Path | None
    """What ``--config`` named."""

    def settings(self) -> Settings:
        """Find and read the configuration; ConfigError."""
        return load(find(self.config), os.environ)

    def control(self) -> Control:
        """Return the gateway that runs by this configuration; asking it may raise NotRunning."""
        return Control(control_socket(find(self.config), os.environ))


def of(ctx: typer.Context) -> Invocation:
    """Return the invocation a command belongs to."""
    found = ctx.find_object(Invocation)
    return found if found is not None else Invocation(config=None)
