# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the gateway's own directories; what is in the way is said in one line, with the mend."""

from __future__ import annotations

from pathlib import Path

from gateway.model import GatewayError


def private_directory(path: Path, key: str) -> None:
    """Make a directory for our own user alone, if it isn't there; GatewayError. `key`: its name in [gateway]."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise unusable("directory", path, error, key) from error


def unusable(what: str, path: Path, error: OSError, key: str) -> GatewayError:
    """Return the error for a path of ours that can't be used. `key`: what in [gateway] puts it there."""
    mend = f"Make it a directory that this user can write, or name another in [gateway] {key}"
    return GatewayError(f"the {what} {path} can't be used: {error.strerror or error}. {mend}")
