# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS between boxes: both ends prove the key by which the community knows them, and nobody else gets in.

What a box shows is a certificate that its own key signed. What it accepts is made from the keys of the
members alone: for each an anchor, whose own signature nobody looks at. So a stranger is turned away in the
handshake, and no certificate has to be carried about. All are valid from 1970 to 9999: boxes have no clock.
"""

from __future__ import annotations

import datetime as dt
import ssl
import tempfile
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from bridges.lan.event import box_id

_FROM = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_UNTIL = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
_NOBODY = Ed25519PrivateKey.from_private_bytes(bytes(32))
"""Signs anchors: they are believed because we made them, not for their signature."""


class Contexts:
    """The TLS of one box, for whoever belongs at the moment."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._chain = _chain(key)
        self._accepted: tuple[tuple[bytes, ...], tuple[bytes, ...]] = ((), ())
        self._client = self._context(ssl.PROTOCOL_TLS_CLIENT)
        self._inner = self._context(ssl.PROTOCOL_TLS_SERVER)
        self.server = self._context(ssl.PROTOCOL_TLS_SERVER)
        """For the listener; what it accepts follows `accept` while it listens."""
        self.server.sni_callback = self._chosen

    @property
    def client(self) -> ssl.SSLContext:
        """For a connection that is made now."""
        return self._client

    def accept(self, members: Iterable[Ed25519PublicKey], invited: Iterable[Ed25519PublicKey] = ()) -> None:
        """Accept exactly the boxes with these keys from now on, in new connections; who is invited may call only."""
        boxes = tuple(sorted(key.public_bytes_raw() for key in members))
        accepted = boxes, tuple(sorted(key.public_bytes_raw() for key in invited))
        if accepted == self._accepted:
            return
        client, inner = self._context(ssl.PROTOCOL_TLS_CLIENT), self._context(ssl.PROTOCOL_TLS_SERVER)
        for context, keys in ((client, boxes), (inner, boxes + accepted[1])):
            if keys:
                context.load_verify_locations(cadata="".join(map(_anchor, keys)))
        self._client, self._inner, self._accepted = client, inner, accepted

    def _chosen(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._inner

    def _context(self, protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # who is there is told by the key
        context.verify_mode = ssl.CERT_REQUIRED
        if protocol == ssl.PROTOCOL_TLS_SERVER:
            context.num_tickets = 0  # a ticket would let a box back in after it was put out
        _load(context, self._chain)
        return context


def introduced(key: Ed25519PrivateKey) -> ssl.SSLContext:
    """Return the client's TLS for a box that can check the other's key only after the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _load(context, _chain(key))
    return context


def key_of(connection: object) -> Ed25519PublicKey | None:
    """Return the key the other end of a connection proved; None if it proved none."""
    shown = connection.getpeercert(binary_form=True) if isinstance(connection, ssl.SSLObject) else None
    if not shown:
        return None
    try:
        key = x509.load_der_x509_certificate(shown).public_key()
    except ValueError:
        return None
    return key if isinstance(key, Ed25519PublicKey) else None


def _chain(key: Ed25519PrivateKey) -> str:
    """Return the certificate a box shows, and its key."""
    public = key.public_key()
    certificate = _certificate(public, subject="box", issuer=box_id(public), signer=key, is_anchor=False)
    return certificate + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _anchor(raw: bytes) -> str:
    """Return what makes certificates good that the holder of a key signed."""
    key = Ed25519PublicKey.from_public_bytes(raw)
    return _certificate(key, subject=box_id(key), issuer=box_id(key), signer=_NOBODY, is_anchor=True)


def _certificate(
    key: Ed25519PublicKey, *, subject: str, issuer: str, signer: Ed25519PrivateKey, is_anchor: bool
) -> str:
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(1 if is_anchor else 2)
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(ca=is_anchor, path_length=0 if is_anchor else None), critical=True)
        .sign(signer, None)
    )
    return certificate.public_bytes(Encoding.PEM).decode()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _load(context: ssl.SSLContext, chain: str) -> None:
    """Give the context its key; `ssl` takes it from a file only, which is gone at once."""
    with tempfile.TemporaryDirectory(prefix="crossband-lan-") as folder:  # 0700
        file = Path(folder, "chain.pem")
        file.write_text(chain, "ascii")
        context.load_cert_chain(file)
