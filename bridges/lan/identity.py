# SPDX-License-Identifier: GPL-3.0-or-later
"""Who this box is, and which community it belongs to: two small files that nobody else may read.

A damaged one is refused, never replaced: with another key this box would be a stranger to all others.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bridges.lan.membership import Member, root_of
from bridges.lan.statements import MOST_NAME_CHARACTERS
from gateway.model import AuthFailed, files

VERSION = 1
KEY_FILE = "box.json"
COMMUNITY_FILE = "community.json"
KEY_BYTES = 32

Entropy = Callable[[int], bytes]
"""Returns so many bytes that nobody can guess."""


def box_key(folder: Path, entropy: Entropy = os.urandom) -> Ed25519PrivateKey:
    """Return the key of this box, which is made at its first start; AuthFailed, with the mend, if it can't be read."""
    path = folder / KEY_FILE
    kept = _load(path, "or delete it: then this box is a new one, and has to join again")
    if kept is None:
        key = Ed25519PrivateKey.from_private_bytes(entropy(KEY_BYTES))
        _save(path, {"version": VERSION, "private": key.private_bytes_raw().hex()})
        return key
    return Ed25519PrivateKey.from_private_bytes(_key(kept, "private", path))


def community(folder: Path, own: Ed25519PublicKey, name: str) -> Member:
    """Return the first box of our community: ourselves, until we join another's. AuthFailed as `box_key`."""
    path = folder / COMMUNITY_FILE
    kept = _load(path, "or delete it: then this box is alone, and has to join again")
    if kept is None:
        return root_of(own, name)
    return root_of(Ed25519PublicKey.from_public_bytes(_key(kept, "root", path)), str(kept.get("name", "")))


def keep_community(folder: Path, root: Member) -> None:
    """Belong to this community from now on; OSError if the disk refuses."""
    name = root.name[:MOST_NAME_CHARACTERS]
    _save(folder / COMMUNITY_FILE, {"version": VERSION, "root": root.key.public_bytes_raw().hex(), "name": name})


def _load(path: Path, otherwise: str) -> Mapping[str, Any] | None:
    try:
        kept = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise AuthFailed(f"{path}: {reason}. Make it readable for the gateway's user") from error
    except ValueError:
        kept = None
    if not isinstance(kept, dict) or kept.get("version") != VERSION:
        raise AuthFailed(f"{path} is damaged: restore it from a backup, {otherwise}")
    return kept


def _key(kept: Mapping[str, Any], field: str, path: Path) -> bytes:
    try:
        key = bytes.fromhex(kept[field])
    except (KeyError, TypeError, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise AuthFailed(f"{path} is damaged: there is no key in {field!r}. Restore it from a backup, or delete it")
    return key


def _save(path: Path, kept: Mapping[str, Any]) -> None:
    files.replace(path, json.dumps(kept))
