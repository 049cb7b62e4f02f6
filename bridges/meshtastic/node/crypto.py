# SPDX-License-Identifier: GPL-3.0-or-later
"""The mesh's cryptography: channel keys, the channel's hash, direct messages between two keys. Pure.

Facts: firmware `Channels::getKey`, `Channels::generateHash`, `CryptoEngine` (reference/lan.md section 2).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.hashes import SHA256, Hash

PUBLIC_PSK = bytes.fromhex("d4f1bb3a20290759f0bcffabcf4e6901")
"""The key everybody has: what the one-byte key 1 (``AQ==``) stands for."""
KEY_BYTES = 32
TAG_BYTES = 8
SEAL_BYTES = TAG_BYTES + 4
"""What encryption to one node adds: a tag, and the part of the nonce that is sent along."""
_HALF_KEY_BYTES = 16
RESERVED_NUMBERS = frozenset({0, 1, 2, 3, 0xFFFFFFFF})
"""Numbers that are no node's (firmware `NUM_RESERVED`, and everybody)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A node's own keys, 32 bytes each."""

    private: bytes = field(repr=False)
    public: bytes


def key_pair(private: bytes) -> KeyPair:
    """Return the pair of a private key, any 32 random bytes; ValueError if it is not 32."""
    secret = X25519PrivateKey.from_private_bytes(private)
    return KeyPair(private=private, public=secret.public_key().public_bytes_raw())


def number_of(public: bytes) -> int:
    """Return the node number that goes with a public key: its CRC-32, as firmware 2.8 has it."""
    return zlib.crc32(public)


def channel_key(psk: bytes) -> bytes:
    """Return the AES key (16 or 32 bytes; empty: no encryption) of a channel's key as it is configured.

    One byte picks a variant of the public key, 0 none; a short key is filled up with zeros. ValueError
    above 32 bytes.
    """
    if len(psk) > KEY_BYTES:
        raise ValueError(f"a channel's key has at most {KEY_BYTES} bytes")
    if len(psk) == 1:
        return _variant(psk[0])
    if not psk:
        return b""
    return psk.ljust(_HALF_KEY_BYTES if len(psk) <= _HALF_KEY_BYTES else KEY_BYTES, b"\0")


def channel_hash(name: str, key: bytes) -> int:
    """Return the byte by which a packet names its channel."""
    hashed = 0
    for byte in name.encode() + key:
        hashed ^= byte
    return hashed


def crypt(key: bytes, *, sender: int, id: int, data: bytes) -> bytes:
    """Encrypt or decrypt a packet on a channel: AES-CTR, which is its own reverse."""
    if not key:
        return data
    nonce = id.to_bytes(8, "little") + sender.to_bytes(4, "little") + bytes(4)
    cipher = Cipher(algorithms.AES(key), modes.CTR(nonce)).encryptor()
    return cipher.update(data) + cipher.finalize()


def seal(own: KeyPair, peer: bytes, *, sender: int, id: int, extra: int, data: bytes) -> bytes:
    """Encrypt from our node to the one with the key `peer`; ValueError if that is no usable key.

    `extra`: 32 random bits, new for every packet.
    """
    nonce = _nonce(sender, id, extra.to_bytes(4, "little"))
    sealed = AESCCM(_shared(own, peer), tag_length=TAG_BYTES).encrypt(nonce, data, None)
    return sealed + extra.to_bytes(4, "little")


def unseal(own: KeyPair, peer: bytes, *, sender: int, id: int, sealed: bytes) -> bytes | None:
    """Return what the node with the key `peer` encrypted to ours; None if it did not."""
    if len(sealed) <= SEAL_BYTES:
        return None
    nonce = _nonce(sender, id, sealed[-4:])
    try:
        return AESCCM(_shared(own, peer), tag_length=TAG_BYTES).decrypt(nonce, sealed[:-4], None)
    except (InvalidTag, ValueError):
        return None


def _variant(index: int) -> bytes:
    if index == 0:
        return b""
    return PUBLIC_PSK[:-1] + bytes([(PUBLIC_PSK[-1] + index - 1) % 256])


def _nonce(sender: int, id: int, extra: bytes) -> bytes:
    return id.to_bytes(4, "little") + extra + sender.to_bytes(4, "little") + b"\0"


def _shared(own: KeyPair, peer: bytes) -> bytes:
    secret = X25519PrivateKey.from_private_bytes(own.private).exchange(X25519PublicKey.from_public_bytes(peer))
    digest = Hash(SHA256())
    digest.update(secret)
    return digest.finalize()
