# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command line gives to a bridge's own commands, which know nothing of the gateway."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from gateway.model.message import BridgeName


class Terminal(Protocol):
    """The object of the Typer context (``ctx.obj``) of every command."""

    def tables(self, kind: str) -> Mapping[BridgeName, Mapping[str, Any]]:
        """Return the checked tables of the configured bridges of a kind; ConfigError."""
        ...

    def conversations(self, bridge: BridgeName) -> Sequence[str]:
        """Return the conversations of a bridge that the file's routes name; ConfigError."""
        ...

    def ask(self, path: str, body: Mapping[str, Any] | None = None, *, within_s: float = 20.0) -> Any:
        """Ask the running gateway's API (GET, or POST with a body); the decoded JSON, or None if no gateway runs.

        GatewayError with its reason if it won't, or can't.
        """
        ...

    def show(
        self, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Callable[..., object]], form: str, *, empty: str
    ) -> None:
        """Write rows to standard output as ``table``, ``json`` or ``jsonl``; `empty` in words if there are none."""
        ...
