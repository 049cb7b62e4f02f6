# SPDX-License-Identifier: GPL-3.0-or-later
"""A bridge with settings of its own, outside our configuration: a radio's region, channels, name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Alteration:
    """One setting that would be, or was, changed. No secret: a key is told by its fingerprint."""

    key: str
    was: str
    becomes: str
    cuts_off: str = ""
    """Whom it cuts off, in words; then it takes a second word of confirmation. Empty: nobody."""


@runtime_checkable
class Adjustable(Protocol):
    """A bridge whose far side has settings that can be read, and changed when somebody says so.

    Nothing is ever changed but by `adjust`.
    """

    def settings(self) -> Mapping[str, Any]:
        """Return how it is set, as JSON has it, without a secret; under ``warnings`` what to mend. No I/O.

        Declined while that isn't known.
        """
        ...

    def alterations(self, wanted: Mapping[str, str]) -> Sequence[Alteration]:
        """Return what `adjust` would change; empty if all is so already. No I/O.

        Declined, with the reason, if there is no such setting, or it can't have that value.
        """
        ...

    async def adjust(self, wanted: Mapping[str, str]) -> Sequence[Alteration]:
        """Change it, read it back, and return what was changed. It may restart, and take two minutes.

        Declined as `alterations`, or if the far side didn't take it; a BridgeError if it couldn't be
        asked, with how far it came.
        """
        ...
