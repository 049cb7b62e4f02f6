# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ghost speaks for whom, and what it is called. Pure; the same on every box of a homeserver."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from bridges.matrix.plain import cut, one_line
from gateway.model import Sender

MESH = "mesh_"
LAN = "lan_"
MAX_NICK_CHARS = 120
"""Of a nick in a localpart: a user id is at most 255 bytes, its server's name included."""
MAX_NAME_BYTES = 200
"""Synapse takes 256 characters (``MAX_DISPLAYNAME_LEN``)."""

_NODE = re.compile(r"!([0-9a-f]{8})")
_NICK = re.compile(r"~([^@]+)@.+", re.DOTALL)
_GHOST = re.compile(rf"(?:{MESH}[0-9a-f]{{8}}|{LAN}[a-z0-9._=/+-]+)")
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789.-/+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ghost:
    """A user of the homeserver that stands for one person elsewhere."""

    localpart: str
    name: str
    """What people see: the person's name and their network."""


def ghost_of(sender: Sender) -> Ghost | None:
    """Return the ghost of a radio node (``!a1b2c301``) or a LAN user (``~nick@box``); None for anyone else."""
    if node := _NODE.fullmatch(sender.id):
        return Ghost(localpart=MESH + node[1], name=_shown(sender.name or sender.id, "mesh"))
    if nick := _NICK.fullmatch(sender.id):
        return Ghost(localpart=LAN + escaped(nick[1]), name=_shown(sender.name or nick[1], "LAN"))
    return None


def bare_ghost(localpart: str) -> Ghost | None:
    """Return a ghost of which nothing but its localpart is known; None if that can't be one."""
    if not is_ghost(localpart):
        return None
    if localpart.startswith(MESH):
        return Ghost(localpart=localpart, name=_shown(f"!{localpart.removeprefix(MESH)}", "mesh"))
    return Ghost(localpart=localpart, name=_shown(localpart.removeprefix(LAN), "LAN"))


def is_ghost(localpart: str) -> bool:
    """Whether this is the localpart of a ghost, whichever box made it."""
    return _GHOST.fullmatch(localpart) is not None


def node_of(localpart: str) -> str | None:
    """Return the radio node a ghost stands for, as in ``!a1b2c301``; None if it stands for none."""
    return f"!{localpart.removeprefix(MESH)}" if localpart.startswith(MESH) and is_ghost(localpart) else None


def escaped(name: str) -> str:
    """Return the name in the characters of a localpart, so that different names stay different.

    As the specification has it ("Mapping from other character sets"): capitals become ``_x``, ``_``
    becomes ``__``, all else ``=`` and the hexadecimal of its UTF-8. One that gets too long ends in a hash.
    """
    whole = "".join(map(_escaped_byte, name.encode("utf-8", "replace")))
    if len(whole) <= MAX_NICK_CHARS:
        return whole
    digest = hashlib.blake2s(name.encode("utf-8", "replace"), digest_size=8).hexdigest()
    return f"{whole[: MAX_NICK_CHARS - 17]}.{digest}"


def _escaped_byte(byte: int) -> str:
    if byte in _PLAIN:
        return chr(byte)
    if byte == ord("_"):
        return "__"
    if ord("A") <= byte <= ord("Z"):
        return f"_{chr(byte).lower()}"
    return f"={byte:02x}"


def _shown(name: str, network: str) -> str:
    return f"{cut(one_line(name), MAX_NAME_BYTES).rstrip() or '?'} ({network})"
