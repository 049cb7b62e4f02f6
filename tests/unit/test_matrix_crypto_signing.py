# SPDX-License-Identifier: GPL-3.0-or-later
"""Cross-signing keys."""

from __future__ import annotations

from bridges.matrix.crypto.signing import Seeds, is_signed_by, only_key, public, public_keys, signed

# RFC 8032, section 7.1, test 1: secret and public key.
SEED = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
PUBLIC = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo"
USER = "@crossband:example.org"


def seeds() -> Seeds:
    return Seeds.from_bytes(bytes(range(96)))


def test_a_public_key_is_what_the_standard_says() -> None:
    assert public(SEED) == PUBLIC


def test_seeds_survive_a_file_and_anything_else_is_none() -> None:
    kept = seeds().as_json()
    assert Seeds.from_json(kept) == seeds()
    assert Seeds.from_json({**kept, "master": "short"}) is None
    assert Seeds.from_json({**kept, "user_signing": "*" * 43}) is None
    assert Seeds.from_json(None) is None
    assert kept["master"] not in repr(seeds())


def test_the_master_key_vouches_for_the_two_others() -> None:
    body = public_keys(seeds(), USER)
    master = only_key(body["master_key"])
    assert master == public(seeds().master)
    assert set(body) == {"master_key", "self_signing_key", "user_signing_key"}
    assert is_signed_by(body["self_signing_key"], master, USER)
    assert is_signed_by(body["user_signing_key"], master, USER)
    assert "signatures" not in body["master_key"]


def test_a_signature_is_added_to_those_that_are_there_and_covers_all_but_them() -> None:
    device = {"device_id": "ABC", "signatures": {USER: {"ed25519:ABC": "x"}}, "unsigned": {"device_display_name": "é"}}
    made = signed(device, SEED, USER)
    assert made["signatures"][USER].keys() == {"ed25519:ABC", f"ed25519:{PUBLIC}"}
    assert is_signed_by({**made, "unsigned": {"age": 1}}, PUBLIC, USER)
    assert not is_signed_by({**made, "device_id": "ABD"}, PUBLIC, USER)
    assert not is_signed_by(made, public(seeds().master), USER)
    assert not is_signed_by({"signatures": {USER: {f"ed25519:{PUBLIC}": "x"}}}, PUBLIC, USER)
