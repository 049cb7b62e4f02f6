# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a device's keys are kept: in the bridge's `state_dir`, read by nobody else, and never silently replaced."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from bridges.matrix.crypto.errors import KeysUnreadable
from bridges.matrix.login import write_secret

PICKLE_KEY = "pickle.key"
_KEY_BYTES = 32


def database_of(folder: Path, device_id: str) -> Path:
    """Return the file of a device's keys: each device has its own, so a new login begins with new keys."""
    name = "".join(char if char.isalnum() or char in "-_" else f"={ord(char):x}" for char in device_id)
    return folder / f"{name[:100]}.db"


def prepare(folder: Path, database: Path) -> str:
    """Make folder (0700), lock's key and database (0600) where they aren't there; return the key.

    Raises KeysUnreadable if there is a database and no key for it, OSError if nothing can be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    file = folder / PICKLE_KEY
    if not file.exists():
        if _has_keys(database):
            raise KeysUnreadable(f"{file.name} is missing")
        write_secret(file, secrets.token_hex(_KEY_BYTES))
    key = file.read_text(encoding="ascii", errors="replace").strip()
    if len(key) != 2 * _KEY_BYTES:
        raise KeysUnreadable(f"{file.name} is damaged")
    os.close(os.open(database, os.O_CREAT | os.O_RDWR, 0o600))  # SQLite would make it readable by others
    return key


def move_aside(database: Path, now_ms: int) -> str:
    """Put the device's keys where nobody uses them, for whoever can mend them; return where. OSError if it can't.

    The cross-signing seeds beside them stay: they are the account's.
    """
    suffix = f".unreadable-{now_ms}"
    for file in (database, database.with_name(f"{database.name}-journal"), database.with_name(PICKLE_KEY)):
        if file.exists():
            file.rename(file.with_name(file.name + suffix))
    return database.name + suffix


def _has_keys(database: Path) -> bool:
    return database.exists() and database.stat().st_size > 0
