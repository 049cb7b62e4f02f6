# SPDX-License-Identifier: GPL-3.0-or-later
"""How a box is let in: a code that is good once, and proves each to the other. Pure.

The code names the box that invites (a hash of its key) and holds a secret of 128 bits. From the secret comes
a key; the new box proves that key in the TLS handshake, and the one that invites its own. Whoever makes the
code tells the inviting box the public half only. Nobody without the code gets as far as a request.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bridges.lan.event import BoxId, Event, Malformed, from_wire, to_wire
from bridges.lan.identity import KEY_BYTES, Entropy
from bridges.lan.membership import Member, root_of
from bridges.lan.statements import MOST_NAME_CHARACTERS

DOMAIN = b"crossband-lan-join-1"
SECRET_BYTES = 16
GOOD_FOR_S = 900.0
LONGEST_S = 86_400.0
MOST_OPEN = 8
MOST_ADDRESSES = 4
MOST_STATEMENTS = 4096
MOST_CHARACTERS = 190
"""Of a code with the addresses in it: more makes no good QR code, and no setting takes it."""
_CODE_BYTES = 32
_GROUP = 4
_SIGNATURE_BYTES = 64


class NoCode(ValueError):
    """This is no code, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What one operator gives the other."""

    box: BoxId
    """Who invites."""
    secret: bytes
    addresses: tuple[str, ...] = ()
    """Where it may be reached; others may be tried."""

    @property
    def key(self) -> Ed25519PrivateKey:
        """What the new box proves."""
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(DOMAIN + self.secret).digest())

    def __repr__(self) -> str:
        return f"Code(box={self.box!r})"

    def __str__(self) -> str:
        """Return it as it is typed; `code_of` reads it."""
        text = base64.b32encode(bytes.fromhex(self.box) + self.secret).decode().rstrip("=")
        grouped = "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))
        return "@".join([grouped, ",".join(self.addresses)]) if self.addresses else grouped


def new_code(box: BoxId, addresses: Iterable[str], entropy: Entropy) -> Code:
    """Return a code nobody can guess."""
    code = Code(box=box, secret=entropy(SECRET_BYTES))
    for address in addresses:
        longer = replace(code, addresses=(*code.addresses, address))
        if len(longer.addresses) <= MOST_ADDRESSES and len(str(longer)) <= MOST_CHARACTERS:
            code = longer
    return code


def code_of(text: str) -> Code:
    """Read a code as somebody typed it; NoCode says what is wrong."""
    typed, _, places = text.strip().partition("@")
    plain = "".join(typed.split()).replace("-", "").upper()
    try:
        raw = base64.b32decode(plain + "=" * (-len(plain) % 8))
    except binascii.Error:
        raise NoCode("a code has the letters A to Z and the digits 2 to 7 only") from None
    if len(raw) != _CODE_BYTES:
        raise NoCode("the code isn't whole: it has 52 letters and digits")
    addresses = tuple(filter(None, places.split(",")))[:MOST_ADDRESSES]
    return Code(box=BoxId(raw[:16].hex()), secret=raw[16:], addresses=addresses)


class Invitations:
    """Those that are open at one box; each is good once, and for a while. Time is monotonic."""

    def __init__(self) -> None:
        self._until: dict[bytes, float] = {}
        self._used: dict[bytes, bytes] = {}
        """By invitation, whom it let in: who asks again because no answer came gets the same answer."""

    def open(self, key: bytes, now_s: float, good_for_s: float = GOOD_FOR_S) -> bool:
        """Let whoever proves this key in, once; False if too many are open."""
        self._end(now_s)
        if key not in self._until and len(self._until) >= MOST_OPEN:
            return False
        self._until[key] = now_s + min(good_for_s, LONGEST_S)
        return True

    def keys(self, now_s: float) -> list[Ed25519PublicKey]:
        """Return what has to get through the handshake."""
        self._end(now_s)
        return [Ed25519PublicKey.from_public_bytes(key) for key in self._until]

    def use(self, key: bytes, newcomer: bytes, now_s: float) -> bool:
        """Let a box in by an invitation; False if that is over, or let another in."""
        self._end(now_s)
        return key in self._until and self._used.setdefault(key, newcomer) == newcomer

    def left_s(self, now_s: float) -> list[float]:
        """Return for how long each that nobody used is open."""
        self._end(now_s)
        return sorted(until - now_s for key, until in self._until.items() if key not in self._used)

    def _end(self, now_s: float) -> None:
        self._until = {key: until for key, until in self._until.items() if until > now_s}
        self._used = {key: newcomer for key, newcomer in self._used.items() if key in self._until}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A box that wants to be let in: its key, which it proves, and its name."""

    key: bytes
    name: str


def wish_body(key: Ed25519PrivateKey, name: str, invitation: Ed25519PublicKey) -> bytes:
    """Return what a new box sends; `read_wish` reads it."""
    public = key.public_key().public_bytes_raw()
    signature = key.sign(_signed(public, invitation))
    return json.dumps({"key": public.hex(), "name": name, "signature": signature.hex()}).encode()


def read_wish(body: bytes, invitation: Ed25519PublicKey) -> Wish:
    """Read it; Malformed if the key in it isn't its sender's."""
    said = _object(body)
    key, signature, name = _hex(said, "key", KEY_BYTES), _hex(said, "signature", _SIGNATURE_BYTES), said.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= MOST_NAME_CHARACTERS or not name.isprintable():
        raise Malformed("not a name")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, _signed(key, invitation))
    except (InvalidSignature, ValueError):
        raise Malformed("the key isn't its own") from None
    return Wish(key=key, name=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """What a new box is told: whose community it is, and who belongs."""

    root: Member
    statements: Sequence[Event]


def welcome_body(welcome: Welcome) -> bytes:
    """Return the answer to a wish."""
    root = {"key": welcome.root.key.public_bytes_raw().hex(), "name": welcome.root.name}
    return json.dumps({"root": root, "statements": [to_wire(event) for event in welcome.statements]}).encode()


def read_welcome(body: bytes) -> Welcome:
    """Read it; Malformed if it is none."""
    said = _object(body)
    root, statements = said.get("root"), said.get("statements")
    if not isinstance(root, dict) or not isinstance(statements, list) or len(statements) > MOST_STATEMENTS:
        raise Malformed("not a welcome")
    try:
        key = Ed25519PublicKey.from_public_bytes(_hex(root, "key", KEY_BYTES))
    except ValueError:
        raise Malformed("not a key") from None
    name = str(root.get("name", ""))[:MOST_NAME_CHARACTERS]
    return Welcome(root=root_of(key, name), statements=[from_wire(each) for each in statements])


def _signed(key: bytes, invitation: Ed25519PublicKey) -> bytes:
    return DOMAIN + key + invitation.public_bytes_raw()


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise Malformed("not JSON")
    return said


def _hex(said: dict[str, Any], field: str, size: int) -> bytes:
    try:
        found = bytes.fromhex(said[field])
    except (KeyError, TypeError, ValueError):
        found = b""
    if len(found) != size:
        raise Malformed(f"no {field}")
    return found
