# SPDX-License-Identifier: GPL-3.0-or-later
"""Channel keys: what may be said of one without saying it, and how people write one. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib

from gateway.model import Declined

DEFAULT = b"\x01"
"""One byte names a key that everybody has; this is the apps' `AQ==`."""
_PUBLIC = bytes.fromhex("d4f1bb3a20290759f0bcffabcf4e69")
"""What all those keys begin with; they differ in their last byte."""
_AES128, _AES256 = 16, 32
_FINGERPRINT_DIGITS = 8
_HOW = 'write "default", "none", or @FILE: a file with 16 or 32 bytes in base64'


def described(key: bytes, *, is_primary: bool) -> str:
    """Return in words how good a key is; of a secret one its first digits of a hash, to compare two radios by."""
    if not key:
        return "none" if is_primary else "the primary channel's"
    if len(key) == 1:
        return _simple(key[0])
    if len(key) == _AES128 and key.startswith(_PUBLIC):
        return _simple(key[-1]) if key[-1] == 1 else "simple (public)"
    if len(key) not in (_AES128, _AES256):
        # A hash of so little would give it away.
        return f"weak ({8 * len(key)} bit)"
    return f"{8 * len(key)} bit, {fingerprint(key)}"


def is_public(key: bytes, *, is_primary: bool) -> bool:
    """Tell whether everybody can read what is said under it; an absent one of a secondary is the primary's."""
    if not key:
        return is_primary
    return len(key) == 1 or (len(key) == _AES128 and key.startswith(_PUBLIC))


def spelled_out(key: bytes) -> bytes:
    """Return the key that one byte stands for, as the firmware makes it; others as they are, none as empty."""
    if len(key) != 1:
        return key
    return _PUBLIC + key if key[0] else b""


def fingerprint(key: bytes) -> str:
    """Return what tells two secret keys apart, and no more."""
    return hashlib.sha256(b"crossband channel key\0" + key).hexdigest()[:_FINGERPRINT_DIGITS]


def read(text: str) -> bytes:
    """Read a key as people write it: `default`, `none`, or base64; Declined, without repeating it."""
    match text.strip():
        case "default":
            return DEFAULT
        case "none":
            return b"\x00"
        case written:
            try:
                key = base64.b64decode(written, validate=True)
            except (binascii.Error, ValueError):
                raise Declined(f"that is no channel key: {_HOW}") from None
    if key != DEFAULT and len(key) not in (_AES128, _AES256):
        raise Declined(f"a channel key has 16 or 32 bytes, this has {len(key)}: {_HOW}")
    return key


def _simple(number: int) -> str:
    if number == 0:
        return "none"
    return "default (public)" if number == 1 else f"simple{number - 1} (public)"
