# SPDX-License-Identifier: GPL-3.0-or-later
"""What a `Link` needs of whatever it goes over: a serial port, TCP, or a node of our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gateway.model import LinkDown


class Line(Protocol):
    """An open line that carries frames."""

    @property
    def name(self) -> str:
        """The device, host or interfaces it goes to."""
        ...

    @property
    def is_serial(self) -> bool:
        """Whether the far end must be woken first."""
        ...

    @property
    def is_reading(self) -> bool:
        """Whether bytes are taken from the line."""
        ...

    @property
    def is_flushed(self) -> bool:
        """Whether all that was written has left this process."""
        ...

    def start(self, on_bytes: Callable[[bytes], None], on_lost: Callable[[LinkDown], None]) -> None:
        """Begin to read. `on_bytes` gets what is read; `on_lost` is called once when the line is gone."""
        ...

    def pause(self) -> None:
        """Leave what comes with whoever holds it now."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...

    def write(self, data: bytes) -> None:
        """Write soon, in order."""
        ...

    def close(self) -> None:
        """Let go of it; nothing is called any more."""
        ...
