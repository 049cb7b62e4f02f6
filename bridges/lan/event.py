# SPDX-License-Identifier: GPL-3.0-or-later
"""One entry of a box's log, as it is signed, sent and checked. Pure.

A feed is what one box wrote between one start and the next: a box that lost the end of its log, or was
cloned, never writes a number twice that others know already. Each event names the one before it in its
feed, so a feed that was written two ways shows.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NewType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

BoxId = NewType("BoxId", str)
"""32 hex digits, of the box's public key."""
FeedId = NewType("FeedId", str)
"""``BOX-START``: START is 16 random hex digits (a box without a clock starts at the same time every time)."""

DOMAIN = "crossband-lan-1"
"""What is signed begins with it, so that a signature is good for nothing else."""
HASH_BYTES = 16
BEFORE_FIRST = bytes(HASH_BYTES)
MOST_BODY_BYTES = 16 * 1024
MOST_NATIVE_BYTES = 512
MOST_NUMBER = 2**53
"""What every JSON reader reads exactly."""
_FIELDS = 7
_FEED = re.compile(r"([0-9a-f]{32})-[0-9a-f]{16}\Z")


class Malformed(ValueError):
    """This is no event, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`body` is JSON text; `native` what the world calls what it says, empty for what only boxes say."""

    feed: FeedId
    seq: int
    """1, 2, 3 ... within the feed."""
    hlc: int
    """When, by a hybrid logical clock: see `hlc`."""
    previous: bytes
    """`hash` of the one before it in its feed; zeros before the first."""
    native: str
    body: str = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def box(self) -> BoxId:
        """Who wrote it."""
        return box_of(self.feed)

    @property
    def signed(self) -> bytes:
        """What the signature is over."""
        digest = hashlib.sha256(self.body.encode()).hexdigest()
        fields = [DOMAIN, self.feed, self.seq, self.hlc, self.previous.hex(), self.native, digest]
        return json.dumps(fields, separators=(",", ":")).encode()

    @property
    def hash(self) -> bytes:
        """What the next in the feed calls it."""
        return hashlib.sha256(self.signed).digest()[:HASH_BYTES]

    def is_by(self, key: Ed25519PublicKey) -> bool:
        """Whether this key signed it."""
        try:
            key.verify(self.signature, self.signed)
        except InvalidSignature:
            return False
        return True


def box_id(key: Ed25519PublicKey) -> BoxId:
    """Return what the box with this key is called."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return BoxId(hashlib.sha256(raw).hexdigest()[:32])


def feed_id(box: BoxId, start: int) -> FeedId:
    """Return what a box's feed of one start is called; `start` is 64 random bits."""
    return FeedId(f"{box}-{start:016x}")


def box_of(feed: FeedId) -> BoxId:
    """Return whose feed this is."""
    return BoxId(feed.partition("-")[0])


def is_feed(text: object) -> bool:
    """Whether this is a feed's name."""
    return isinstance(text, str) and _FEED.match(text) is not None


def written(
    key: Ed25519PrivateKey, *, feed: FeedId, seq: int, hlc: int, previous: bytes, native: str, body: str
) -> Event:
    """Return a signed event."""
    unsigned = Event(feed=feed, seq=seq, hlc=hlc, previous=previous, native=native, body=body, signature=b"")
    return replace(unsigned, signature=key.sign(unsigned.signed))


def to_wire(event: Event) -> list[Any]:
    """Return the JSON of an event; `from_wire` reads it."""
    signature = base64.b64encode(event.signature).decode()
    return [event.feed, event.seq, event.hlc, event.previous.hex(), event.native, event.body, signature]


def from_wire(raw: object) -> Event:
    """Read an event; Malformed says what is wrong with it. Its signature is not looked at."""
    if not isinstance(raw, Sequence) or isinstance(raw, str) or len(raw) != _FIELDS:
        raise Malformed("not an event")
    feed, seq, hlc, previous, native, body, signature = raw
    if not is_feed(feed):
        raise Malformed("not a feed")
    if not (_is_number(seq) and _is_number(hlc)):
        raise Malformed("not a number")
    if not (_fits(native, MOST_NATIVE_BYTES) and _fits(body, MOST_BODY_BYTES)):
        raise Malformed("too large")
    return Event(
        feed=FeedId(feed),
        seq=seq,
        hlc=hlc,
        previous=_bytes(previous, bytes.fromhex, HASH_BYTES),
        native=native,
        body=body,
        signature=_bytes(signature, _unbase64, 64),
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < MOST_NUMBER


def _fits(value: object, most: int) -> bool:
    try:
        return isinstance(value, str) and len(value.encode()) <= most
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can spell
        return False


def _bytes(value: object, read: Any, size: int) -> bytes:
    try:
        found = bytes(read(value))
    except (TypeError, ValueError, binascii.Error):
        found = b""
    if len(found) != size:
        raise Malformed("not a hash or a signature")
    return found


def _unbase64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
