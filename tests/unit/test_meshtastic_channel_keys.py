# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a channel's key, and how one is written."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.meshtastic.channel_keys import described, fingerprint, is_public, read
from gateway.model import Declined

EVERYBODYS = base64.b64decode("1PG7OiApB1nwvP+rz05pAQ==")
"""What `AQ==` stands for, as the apps show it written out."""


@pytest.mark.parametrize(
    ("key", "is_primary", "words", "public"),
    [
        (b"", True, "none", True),
        (b"", False, "the primary channel's", False),
        (b"\x00", True, "none", True),
        (b"\x01", True, "default (public)", True),
        (b"\x02", False, "simple1 (public)", True),
        (b"\x0a", False, "simple9 (public)", True),
        (EVERYBODYS, True, "default (public)", True),
        (EVERYBODYS[:-1] + b"\x05", True, "simple (public)", True),
        (b"ab", True, "weak (16 bit)", False),
        (bytes(16), True, f"128 bit, {fingerprint(bytes(16))}", False),
        (bytes(32), False, f"256 bit, {fingerprint(bytes(32))}", False),
    ],
)
def test_a_key_is_told_by_how_good_it_is(key, is_primary, words, public):
    assert described(key, is_primary=is_primary) == words
    assert is_public(key, is_primary=is_primary) is public


@given(st.binary(min_size=16, max_size=16) | st.binary(min_size=32, max_size=32))
def test_a_secret_key_is_never_in_what_is_said_of_it(key):
    words = described(key, is_primary=True)

    assert key.hex() not in words
    assert base64.b64encode(key).decode() not in words
    assert hashlib.sha256(key).hexdigest()[:8] not in words  # a plain hash is on lists


def test_two_keys_are_told_apart():
    assert fingerprint(bytes(32)) != fingerprint(bytes(31) + b"\x01")
    assert len(fingerprint(bytes(32))) == 8


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("default", b"\x01"),
        ("none", b"\x00"),
        (" AQ==\n", b"\x01"),
        (base64.b64encode(bytes(range(16))).decode(), bytes(range(16))),
        (base64.b64encode(bytes(range(32))).decode(), bytes(range(32))),
    ],
)
def test_a_key_is_read_as_people_write_it(text, key):
    assert read(text) == key


@pytest.mark.parametrize("text", ["", "sesame", "c2VzYW1l", "Ag==", base64.b64encode(bytes(31)).decode()])
def test_what_is_no_key_is_refused_without_being_repeated(text):
    with pytest.raises(Declined) as refused:
        read(text)

    assert not text or text not in str(refused.value)
