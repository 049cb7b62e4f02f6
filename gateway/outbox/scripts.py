# SPDX-License-Identifier: GPL-3.0-or-later
"""The Lua scripts beside this file, each put together with what they share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

NAMES = (
    "acquire",
    "anchor",
    "cancel",
    "claim",
    "depth",
    "drop",
    "due_now",
    "fates",
    "heads",
    "holder",
    "mark",
    "overdue",
    "put",
    "redrive",
    "renew",
    "report",
    "requeue",
    "resign",
    "settle",
    "take",
)
_TAKING = {"claim", "heads"}
"""They share one more piece: how they look at what waits first."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script's whole text, and the name the server knows it by."""

    text: bytes
    sha: str


def load_scripts() -> Mapping[str, Script]:
    """Read every script from the package."""
    folder = files(__package__)
    common = folder.joinpath("common.lua").read_bytes()
    taking = folder.joinpath("taking.lua").read_bytes()
    return {
        name: _assemble(
            folder.joinpath(f"{name}.lua").read_bytes(), *((common, taking) if name in _TAKING else (common,))
        )
        for name in NAMES
    }


def _assemble(own: bytes, *shared: bytes) -> Script:
    # The shebang carries the script's flags and must be the first line of the whole.
    shebang, _, body = own.partition(b"\n")
    text = b"\n".join((shebang, *shared, body))
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest())
