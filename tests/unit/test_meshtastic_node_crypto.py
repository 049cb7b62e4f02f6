# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct

import pytest
from Crypto.Cipher import AES
from hypothesis import given
from hypothesis import strategies as st

from bridges.meshtastic.node.crypto import (
    PUBLIC_PSK,
    channel_hash,
    channel_key,
    crypt,
    key_pair,
    number_of,
    seal,
    unseal,
)
from bridges.sim.lan_secrets import Keys, SharedChannel

WORDS = st.integers(0, 2**32 - 1)

# firmware test/test_crypto, `test_PKC`: a packet from node 0x0929.
PRIVATE = bytes.fromhex("a00330633e63522f8a4d81ec6d9d1e6617f6c8ffd3a4c698229537d44e522277")
PEER = bytes.fromhex("db18fc50eea47f00251cb784819a3cf5fc361882597f589f0d7ff820e8064457")
SEALED = bytes.fromhex("40df24abfcc30a17a3d9046726099e796a1c036a792b")
PLAIN = bytes.fromhex("08011204746573744800")


def test_what_the_firmwares_own_test_vector_seals_is_read():
    assert unseal(key_pair(PRIVATE), PEER, sender=0x0929, id=0x13B2D662, sealed=SEALED) == PLAIN


def test_sealing_gives_what_the_firmwares_test_vector_has():
    extra = int.from_bytes(SEALED[-4:], "little")

    assert seal(key_pair(PRIVATE), PEER, sender=0x0929, id=0x13B2D662, extra=extra, data=PLAIN) == SEALED


@pytest.mark.parametrize(
    ("psk", "key"),
    [
        (b"", b""),
        (b"\x00", b""),
        (b"\x01", PUBLIC_PSK),
        (b"\x02", PUBLIC_PSK[:-1] + b"\x02"),
        (b"\xff", PUBLIC_PSK[:-1] + b"\xff"),
        (b"ab", b"ab" + bytes(14)),
        (b"k" * 16, b"k" * 16),
        (b"k" * 17, b"k" * 17 + bytes(15)),
        (b"k" * 32, b"k" * 32),
    ],
)
def test_a_channels_key_is_expanded_as_the_firmware_does(psk: bytes, key: bytes):
    assert channel_key(psk) == key


def test_a_key_of_more_than_32_bytes_is_none():
    with pytest.raises(ValueError, match="32"):
        channel_key(bytes(33))


def test_the_public_channel_has_the_hash_that_everybody_knows():
    assert channel_hash("LongFast", PUBLIC_PSK) == 8


def test_a_node_number_is_the_crc_32_of_its_key():
    assert number_of(b"123456789") == 0xCBF43926  # the check value of CRC-32


def test_a_channel_is_encrypted_by_counting_blocks_from_id_and_sender():
    """By hand: the key stream is AES of a counter block, (id, sender, n), n counting from 0."""
    text = b"a text of more than two blocks, which are sixteen bytes each"
    blocks = [struct.pack("<QI", 0xCAFE, 0xA1B2C301) + struct.pack(">I", number) for number in range(4)]
    stream = b"".join(AES.new(PUBLIC_PSK, AES.MODE_ECB).encrypt(block) for block in blocks)

    expected = bytes(a ^ b for a, b in zip(text, stream, strict=False))

    assert crypt(PUBLIC_PSK, sender=0xA1B2C301, id=0xCAFE, data=text) == expected


@given(st.sampled_from([b"", b"\x01", b"k" * 16, b"k" * 32]), WORDS, WORDS, st.binary(max_size=240))
def test_what_a_far_node_encrypts_on_a_channel_is_read_and_the_reverse(psk: bytes, sender: int, id: int, data: bytes):
    far = SharedChannel(key=channel_key(psk))

    assert crypt(far.key, sender=sender, id=id, data=far.apply(sender, id, data)) == data
    assert far.apply(sender, id, crypt(far.key, sender=sender, id=id, data=data)) == data


@given(st.binary(min_size=32, max_size=32), WORDS, WORDS, WORDS, st.binary(min_size=1, max_size=230))
def test_what_a_far_node_seals_is_read_and_the_reverse(seed: bytes, sender: int, id: int, extra: int, data: bytes):
    own, far = key_pair(PRIVATE), Keys(seed)

    locked = far.lock(own.public, sender=sender, id=id, extra=extra, content=data)
    sealed = seal(own, far.public, sender=sender, id=id, extra=extra, data=data)

    assert locked == sealed
    assert unseal(own, far.public, sender=sender, id=id, sealed=locked) == data
    assert far.unlock(own.public, sender=sender, id=id, content=sealed) == data


@given(st.integers(0, len(SEALED) * 8 - 1))
def test_a_sealed_packet_with_one_bit_turned_is_not_read(bit: int):
    turned = bytearray(SEALED)
    turned[bit // 8] ^= 1 << bit % 8

    assert unseal(key_pair(PRIVATE), PEER, sender=0x0929, id=0x13B2D662, sealed=bytes(turned)) is None


@pytest.mark.parametrize("sealed", [b"", b"x", bytes(12), SEALED[:-1]])
def test_a_sealed_packet_that_is_cut_short_is_not_read(sealed: bytes):
    assert unseal(key_pair(PRIVATE), PEER, sender=0x0929, id=0x13B2D662, sealed=sealed) is None


@pytest.mark.parametrize("peer", [bytes(32), bytes.fromhex("ec" + "ff" * 30 + "7f"), b"short"])
def test_a_key_that_is_none_opens_and_seals_nothing(peer: bytes):
    own = key_pair(PRIVATE)

    assert unseal(own, peer, sender=0x0929, id=0x13B2D662, sealed=SEALED) is None
    with pytest.raises(ValueError, match=r".+"):
        seal(own, peer, sender=1, id=2, extra=3, data=b"x")


def test_a_key_pair_does_not_show_its_private_half():
    assert PRIVATE.hex() not in repr(key_pair(PRIVATE))
    assert repr(PRIVATE) not in repr(key_pair(PRIVATE))
