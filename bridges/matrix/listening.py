# SPDX-License-Identifier: GPL-3.0-or-later
"""A Matrix bridge that listens on an address of its own: for those on the LAN who fetch files."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from starlette.applications import Starlette

from bridges.matrix.bridge import MatrixBridge


class ListeningMatrixBridge(MatrixBridge):
    """Also a `gateway.model.Listener`: built only where the configuration has an address."""

    @property
    def listen(self) -> str:
        """Where: ``host:port``."""
        return self._config.listen or ""

    @cached_property
    def app(self) -> Callable[..., Any]:
        """Serves ``/f/{id}`` and nothing else."""
        return Starlette(routes=self.file_routes)
