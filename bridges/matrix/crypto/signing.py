# SPDX-License-Identifier: GPL-3.0-or-later
"""Cross-signing keys: an account says by them which devices are its own. Pure.

Clients that leave insecure devices out (MSC4153, specification v1.18) neither read nor write to a
device that isn't signed so. Client-server specification, cross-signing; the keys are plain Ed25519.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bridges.matrix.wire import mapping, text

if TYPE_CHECKING:
    from Crypto.PublicKey.ECC import EccKey

USAGES = ("master", "self_signing", "user_signing")
SEED_BYTES = 32
_UNSIGNED = frozenset({"signatures", "unsigned"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """The secret halves, in unpadded base64 as in the specification's secret storage."""

    master: str = field(repr=False)
    self_signing: str = field(repr=False)
    user_signing: str = field(repr=False)

    @classmethod
    def from_json(cls, value: object) -> Seeds | None:
        """Read what `as_json` gave; None if it is anything else."""
        seeds = {usage: text(mapping(value).get(usage)) for usage in USAGES}
        if any(len(_bytes(seed)) != SEED_BYTES for seed in seeds.values()):
            return None
        return cls(**seeds)

    @classmethod
    def from_bytes(cls, random: bytes) -> Seeds:
        """Make them of 96 random bytes."""
        parts = (random[n : n + SEED_BYTES] for n in range(0, 3 * SEED_BYTES, SEED_BYTES))
        return cls(**dict(zip(USAGES, map(_base64, parts), strict=True)))

    def as_json(self) -> dict[str, str]:
        """Return them for a file that nobody else reads."""
        return {usage: getattr(self, usage) for usage in USAGES}


def public(seed: str) -> str:
    """Return the public half, in unpadded base64."""
    return _base64(_key(seed).public_key().export_key(format="raw"))


def public_keys(seeds: Seeds, user_id: str) -> dict[str, Any]:
    """Return the body of ``/keys/device_signing/upload``: the two others are signed by the master key."""
    body: dict[str, Any] = {}
    for usage in USAGES:
        own = public(getattr(seeds, usage))
        body[f"{usage}_key"] = {"user_id": user_id, "usage": [usage], "keys": {f"ed25519:{own}": own}}
    for usage in USAGES[1:]:
        body[f"{usage}_key"] = signed(body[f"{usage}_key"], seeds.master, user_id)
    return body


def signed(value: Mapping[str, Any], seed: str, user_id: str) -> dict[str, Any]:
    """Return the object with one more signature on it, under the seed's public half."""
    from Crypto.Signature import eddsa  # noqa: PLC0415 - only who has encrypted rooms pays for it

    message = _canonical(value)
    signature = _base64(eddsa.new(_key(seed), "rfc8032").sign(message))
    before = mapping(value.get("signatures"))
    mine = {**mapping(before.get(user_id)), f"ed25519:{public(seed)}": signature}
    bare = {key: part for key, part in value.items() if key not in _UNSIGNED}
    return {**bare, "signatures": {**before, user_id: mine}}


def is_signed_by(value: Mapping[str, Any], public_key: str, user_id: str) -> bool:
    """Whether the object carries a valid signature of this key."""
    from Crypto.Signature import eddsa  # noqa: PLC0415 - as above

    given = text(mapping(mapping(value.get("signatures")).get(user_id)).get(f"ed25519:{public_key}"))
    try:
        eddsa.new(eddsa.import_public_key(_bytes(public_key)), "rfc8032").verify(_canonical(value), _bytes(given))
    except ValueError:
        return False
    return True


def only_key(cross_signing_key: object) -> str:
    """Return the public key that an object of a key query holds; empty if there is none."""
    keys = mapping(mapping(cross_signing_key).get("keys"))
    return next((text(value) for value in keys.values()), "")


def _canonical(value: Mapping[str, Any]) -> bytes:
    """Return what is signed: canonical JSON, without what is added later."""
    bare = {key: part for key, part in value.items() if key not in _UNSIGNED}
    return json.dumps(bare, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def _key(seed: str) -> EccKey:
    from Crypto.PublicKey import ECC  # noqa: PLC0415 - as above

    return ECC.construct(curve="Ed25519", seed=_bytes(seed))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _bytes(data: str) -> bytes:
    try:
        return base64.b64decode(data + "=" * (-len(data) % 4), validate=True)
    except ValueError:
        return b""
