# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes let exactly the members in, at the handshake, and who they are is kept where nobody else reads it."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridges.lan import identity
from bridges.lan.membership import root_of
from bridges.lan.tls import Contexts, introduced, key_of
from gateway.model import AuthFailed

KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([number + 1]) * 32) for number in range(3)]
A, B, STRANGER = KEYS


def accepting(key: Ed25519PrivateKey, *others: Ed25519PrivateKey) -> Contexts:
    contexts = Contexts(key)
    contexts.accept(other.public_key() for other in others)
    return contexts


def shake(client: ssl.SSLContext, server: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Go through a handshake in memory; ssl.SSLError if either end refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    open_ends = [near, far]
    for _ in range(6):
        for end in list(open_ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            open_ends.remove(end)
    assert not open_ends
    return near, far


def test_two_members_know_each_other_by_their_keys() -> None:
    near, far = shake(accepting(A, A, B).client, accepting(B, A, B).server)
    assert key_of(near) == B.public_key()
    assert key_of(far) == A.public_key()


def test_a_stranger_does_not_get_through_the_handshake_in_either_direction() -> None:
    with pytest.raises(ssl.SSLError):
        shake(accepting(STRANGER, A).client, accepting(A, A, B).server)
    with pytest.raises(ssl.SSLError):
        shake(accepting(A, A, B).client, accepting(STRANGER, A, B).server)


def test_a_stranger_that_takes_a_members_name_is_no_member() -> None:
    contexts = accepting(A, B)
    forged = Contexts(STRANGER)
    forged.accept([A.public_key()])
    with pytest.raises(ssl.SSLError):
        shake(forged.client, contexts.server)
    pretender = introduced(STRANGER)
    with pytest.raises(ssl.SSLError):
        shake(pretender, contexts.server)


def test_an_open_listener_follows_who_belongs() -> None:
    contexts = accepting(A, B)
    server = contexts.server
    b = accepting(B, A)
    shake(b.client, server)
    contexts.accept([])
    with pytest.raises(ssl.SSLError):
        shake(b.client, server)
    contexts.accept([B.public_key()])
    shake(b.client, server)


def test_nothing_lets_a_box_resume_a_session_after_it_was_put_out() -> None:
    near, far = shake(accepting(B, A).client, accepting(A, B).server)
    far.write(b"whatever follows the handshake, as tickets do")
    near.read(1)
    assert near.session is not None
    assert not near.session.has_ticket


def test_without_a_certificate_nobody_gets_in() -> None:
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.check_hostname = False
    bare.verify_mode = ssl.CERT_NONE
    with pytest.raises(ssl.SSLError):
        shake(bare, accepting(A, B).server)


def test_certificates_are_good_from_1970_to_9999_for_boxes_have_no_clock() -> None:
    near, _ = shake(accepting(A, B).client, accepting(B, A).server)
    shown = x509.load_der_x509_certificate(near.getpeercert(binary_form=True) or b"")
    assert (shown.not_valid_before_utc.year, shown.not_valid_after_utc.year) == (1970, 9999)


def test_a_box_stays_who_it_is_over_a_restart(tmp_path: Path) -> None:
    key = identity.box_key(tmp_path)
    assert identity.box_key(tmp_path).private_bytes_raw() == key.private_bytes_raw()
    assert (tmp_path / identity.KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert identity.community(tmp_path, key.public_key(), "hill") == root_of(key.public_key(), "hill")
    root = root_of(B.public_key(), "valley")
    identity.keep_community(tmp_path, root)
    assert identity.community(tmp_path, key.public_key(), "hill") == root
    assert (tmp_path / identity.COMMUNITY_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"version": 1}', '{"version": 1, "private": "00", "root": 7}'])
def test_a_damaged_file_is_refused_with_the_mend_and_stays_as_it_is(tmp_path: Path, content: str) -> None:
    for name in (identity.KEY_FILE, identity.COMMUNITY_FILE):
        (tmp_path / name).write_text(content)
    with pytest.raises(AuthFailed, match=r"is damaged: .*estore it"):
        identity.box_key(tmp_path)
    with pytest.raises(AuthFailed, match=r"is damaged: .*estore it"):
        identity.community(tmp_path, A.public_key(), "hill")
    assert (tmp_path / identity.KEY_FILE).read_text() == content
