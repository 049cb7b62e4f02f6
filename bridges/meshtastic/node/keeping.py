# SPDX-License-Identifier: GPL-3.0-or-later
"""What our own node keeps on disk: its private key, and the nodes it knows. Readable to the gateway's user only."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from bridges.meshtastic.node.crypto import KeyPair, key_pair
from bridges.meshtastic.node.roster import Roster
from gateway.model import LinkDown

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """All of it."""

    keys: KeyPair
    roster: Roster = field(default_factory=Roster)
    announced_unix: int | None = None
    """When the node last told everybody who it is."""


def load(path: Path) -> Kept | None:
    """Read the file; None if there is none yet.

    LinkDown if it can't be read: another number in its place would be another node to everybody.
    """
    try:
        return _read(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LinkDown(f"{path}: {os.strerror(error.errno or 0)}") from error
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError) as error:
        reason = "is damaged: restore it, or delete it, which makes the gateway a new node"
        raise LinkDown(f"{path}: {reason}") from error


def save(path: Path, kept: Kept) -> None:
    """Write the file whole or not at all, 0600; OSError if the disk refuses."""
    content = json.dumps(
        {
            "version": VERSION,
            "private": base64.b64encode(kept.keys.private).decode(),
            "announced": kept.announced_unix,
            "nodes": kept.roster.to_json(),
        }
    )
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(content: str) -> Kept:
    kept = json.loads(content)
    if kept["version"] != VERSION:
        raise ValueError("another version wrote it")
    announced = kept["announced"]
    return Kept(
        keys=key_pair(base64.b64decode(kept["private"], validate=True)),
        roster=Roster.from_json(kept["nodes"]),
        announced_unix=None if announced is None else int(announced),
    )
