# SPDX-License-Identifier: GPL-3.0-or-later
"""What the page is told of its box."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bridges.lan.page_name import names_of

HTTP_PORT = 80
"""Which addresses needn't name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSettings:
    """Of one page."""

    box: str
    """The box's name, as people see it."""
    name: str = ""
    """Under which the page is found: ``hilltop.local``; empty: as `announced` says."""
    announced: Callable[[], str] = field(default=lambda: "")
    """Under which mDNS tells of it now; empty: under none."""
    port: int = 80
    """The one in the page's address: in front of a socket unit or a port forward not the one it listens on."""
    hosts: Sequence[str] = ()
    """More names that it may be asked under, without port."""
    store: Path | None = None
    """Where nicknames are kept over a restart; None: in memory."""

    @property
    def address(self) -> str:
        """The page's, by name, as mDNS has it."""
        return self.address_at(self.name or self.announced() or names_of(self.box)[0])

    def address_at(self, host: str) -> str:
        """The page's at another name of the box, or a number of it."""
        at = f"[{host}]" if ":" in host else host
        return f"http://{at}/" if self.port == HTTP_PORT else f"http://{at}:{self.port}/"
