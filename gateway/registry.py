# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds kinds of bridges and their commands through entry points; loads one only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, Self

from gateway.model import BridgeKind, Commands, ConfigError

BRIDGES = "gateway.bridges"
COMMANDS = "gateway.commands"


class Registry:
    """The kinds of bridges there are, by name."""

    def __init__(self, loaders: Mapping[str, Callable[[], BridgeKind]]) -> None:
        """`loaders` import a kind; each is called at most once per `kind`."""
        self._loaders = dict(loaders)

    @classmethod
    def installed(cls) -> Self:
        """Return what the installed distributions declare under ``gateway.bridges``."""
        return cls(_loaders(BRIDGES))

    @property
    def names(self) -> tuple[str, ...]:
        """Every known kind, sorted, without importing any."""
        return tuple(sorted(self._loaders))

    def kind(self, name: str) -> BridgeKind:
        """Import and return a kind; ConfigError (key ``kind``) if it is unknown or can't be imported."""
        loader = self._loaders.get(name)
        if loader is None:
            known = ", ".join(self.names) or "none is installed"
            raise ConfigError(f"there is no kind of bridge called {name!r}", key="kind", mend=f"Known kinds: {known}")
        try:
            return loader()
        except ImportError as error:
            raise ConfigError(
                f"the bridge for {name!r} can't be loaded: {error}", key="kind", mend="Install what it needs"
            ) from error


def command_groups() -> Mapping[str, Callable[[], Commands]]:
    """Return what loads each command group declared under ``gateway.commands``, importing none."""
    return _loaders(COMMANDS)


def _loaders(group: str) -> dict[str, Callable[[], Any]]:
    return {entry.name: entry.load for entry in entry_points(group=group)}
