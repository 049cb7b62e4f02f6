# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes files that only their owner may read."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.model import GatewayError


def write_private(path: Path, text: str) -> None:
    """Make a new file (0600) with this text; GatewayError if it exists or can't be written."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise GatewayError(f"{path} exists already; nothing was written") from error
    except OSError as error:
        raise GatewayError(f"{path} can't be written: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
