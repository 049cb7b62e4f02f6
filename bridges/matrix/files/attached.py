# SPDX-License-Identifier: GPL-3.0-or-later
"""What an event says of the file it brings: where it is, and how it is read if it is encrypted. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridges.matrix.attachments import FILES
from bridges.matrix.plain import valid_id
from bridges.matrix.wire import mapping, text

KEY_BYTES = 32
IV_BYTES = 16
HASH_BYTES = 32

_MXC = re.compile(r"mxc://([A-Za-z0-9.:\[\]-]{1,230})/([A-Za-z0-9_-]{1,255})")
_MIME = re.compile(r"[a-z]{1,32}/[a-z0-9.+-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cipher:
    """How an encrypted file is read (client-server specification, "Sending encrypted attachments")."""

    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)
    sha256: bytes
    """Of what is stored, before it is decrypted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A file of an event. Its name isn't kept: that is what somebody said."""

    event_id: str
    server: str
    media_id: str
    mimetype: str = ""
    """As its sender says; empty: not said."""
    size: int = 0
    """The same."""
    cipher: Cipher | None = None


def attached(event: object) -> Attached | None:
    """Return the file that an event brings; None if it brings none that can be fetched."""
    content = mapping(mapping(event).get("content"))
    event_id = valid_id(mapping(event).get("event_id"), "$")
    if event_id is None or not _brings_file(mapping(event), content):
        return None
    file, info = mapping(content.get("file")), mapping(content.get("info"))
    cipher = _cipher(file) if file else None
    found = _MXC.fullmatch(text(file.get("url") if file else content.get("url")))
    if found is None or (file and cipher is None):
        return None
    mimetype, size = text(info.get("mimetype")).lower(), info.get("size")
    return Attached(
        event_id=event_id,
        server=found[1],
        media_id=found[2],
        mimetype=mimetype if _MIME.fullmatch(mimetype) else "",
        size=size if isinstance(size, int) and not isinstance(size, bool) and 0 < size < 2**50 else 0,
        cipher=cipher,
    )


def _brings_file(event: Mapping[str, Any], content: Mapping[str, Any]) -> bool:
    is_edit = mapping(content.get("m.relates_to")).get("rel_type") == "m.replace"
    msgtype = content.get("msgtype") if event.get("type") == "m.room.message" else None
    return not is_edit and (event.get("type") == "m.sticker" or (isinstance(msgtype, str) and msgtype in FILES))


def _cipher(file: Mapping[str, Any]) -> Cipher | None:
    jwk = mapping(file.get("key"))
    if file.get("v") != "v2" or jwk.get("alg") != "A256CTR" or jwk.get("kty") != "oct":
        return None
    key, iv = _bytes(jwk.get("k"), KEY_BYTES), _bytes(file.get("iv"), IV_BYTES)
    sha256 = _bytes(mapping(file.get("hashes")).get("sha256"), HASH_BYTES)
    return Cipher(key=key, iv=iv, sha256=sha256) if key and iv and sha256 else None


def _bytes(value: object, size: int) -> bytes:
    """Read unpadded base64, in either alphabet; empty if it isn't so many bytes."""
    written = text(value).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(written + "=" * (-len(written) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
    return data if len(data) == size else b""
