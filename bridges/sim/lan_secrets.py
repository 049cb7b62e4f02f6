# SPDX-License-Identifier: GPL-3.0-or-later
"""The LAN mesh's encryption as a far node does it, with another library than the bridge's. Pure; for tests only."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from Crypto.Cipher import AES
from Crypto.Cipher._mode_ccm import CcmMode
from Crypto.Protocol.DH import import_x25519_private_key, import_x25519_public_key, key_agreement

DEFAULT_KEY = bytes([0xD4, 0xF1, 0xBB, 0x3A, 0x20, 0x29, 0x07, 0x59, 0xF0, 0xBC, 0xFF, 0xAB, 0xCF, 0x4E, 0x69, 0x01])
_TAG = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedChannel:
    """A channel everybody on this LAN may have: name as it is hashed, AES key (16, 32 or no bytes)."""

    name: str = "LongFast"
    key: bytes = DEFAULT_KEY

    @property
    def hash(self) -> int:
        """The packet's channel byte."""
        folded = 0
        for byte in (*self.name.encode(), *self.key):
            folded ^= byte
        return folded

    def apply(self, sender: int, id: int, content: bytes) -> bytes:
        """Encrypt or decrypt."""
        if not self.key:
            return content
        cipher = AES.new(self.key, AES.MODE_CTR, nonce=struct.pack("<QI", id, sender), initial_value=0)
        return cipher.encrypt(content)


class Keys:
    """A far node's own keys."""

    def __init__(self, seed: bytes) -> None:
        self._private = import_x25519_private_key(seed)
        self.public: bytes = self._private.public_key().export_key(format="raw")

    def lock(self, peer: bytes, *, sender: int, id: int, extra: int, content: bytes) -> bytes:
        """Encrypt to the node with this public key."""
        cipher = self._cipher(peer, sender, id, struct.pack("<I", extra))
        sealed, tag = cipher.encrypt_and_digest(content)
        return bytes(sealed + tag + struct.pack("<I", extra))

    def unlock(self, peer: bytes, *, sender: int, id: int, content: bytes) -> bytes | None:
        """Decrypt what comes from the node with this public key; None if it does not."""
        sealed, tag, extra = content[: -_TAG - 4], content[-_TAG - 4 : -4], content[-4:]
        try:
            return bytes(self._cipher(peer, sender, id, extra).decrypt_and_verify(sealed, tag))
        except ValueError:
            return None

    def _cipher(self, peer: bytes, sender: int, id: int, extra: bytes) -> CcmMode:
        secret = key_agreement(
            static_priv=self._private, static_pub=import_x25519_public_key(peer), kdf=lambda shared: shared
        )
        nonce = struct.pack("<I", id) + extra + struct.pack("<I", sender) + b"\0"
        return AES.new(hashlib.sha256(secret).digest(), AES.MODE_CCM, nonce=nonce, mac_len=_TAG)
