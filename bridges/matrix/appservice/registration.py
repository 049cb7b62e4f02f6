# SPDX-License-Identifier: GPL-3.0-or-later
"""The registration: what a homeserver and its application service know of each other.

(Application service API, "Registration".) It is written as JSON, which is YAML too: homeservers read it
as it is, and we need no YAML parser to read it back.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridges.matrix.appservice.names import LAN, MESH
from bridges.matrix.wire import mapping, read_json, sequence, text
from gateway.model import AuthFailed

MSC4190 = "io.element.msc4190"
"""Devices without a login (MSC4190, in the specification since v1.17): the homeserver then remembers
transaction ids of a ghost across its restarts."""
_TOKEN_BYTES = 48
_MEND = "make it with `crossband matrix registration`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A registration, as far as we need it."""

    id: str
    url: str | None
    """Where the homeserver reaches us; None: it doesn't, and pushes nothing."""
    as_token: str = field(repr=False)
    hs_token: str = field(repr=False)
    users: tuple[re.Pattern[str], ...] = ()

    def covers(self, user_id: str) -> bool:
        """Whether this user is one of ours, by the rule homeservers apply: the beginning has to match."""
        return any(pattern.match(user_id) for pattern in self.users)


def new_registration(*, server_name: str, bot: str, url: str | None) -> dict[str, Any]:
    """Return a registration with tokens of its own.

    `bot`: the localpart of the gateway's user; other boxes that share the registration have one that
    goes on after a ``-``, ``_`` or ``.``. The sender is nobody: Synapse gives that user no sync.
    """
    server = re.escape(server_name)
    ours = (rf"{re.escape(bot)}([-_.].*)?", f"{MESH}.*", f"{LAN}.*")
    return {
        "id": "crossband",
        "url": url,
        "as_token": secrets.token_urlsafe(_TOKEN_BYTES),
        "hs_token": secrets.token_urlsafe(_TOKEN_BYTES),
        "sender_localpart": f"crossband-{secrets.token_hex(8)}-unused",
        "rate_limited": False,
        "receive_ephemeral": True,
        MSC4190: True,
        "namespaces": {
            "users": [{"exclusive": True, "regex": f"@{localpart}:{server}"} for localpart in ours],
            "aliases": [{"exclusive": True, "regex": f"#{MESH}.*:{server}"}],
            "rooms": [],
        },
    }


def read_registration(file: Path) -> Registration:
    """Return what the file says; AuthFailed, with the mend, if it isn't there or isn't a registration."""
    try:
        return _registration(mapping(read_json(file.read_bytes())))
    except OSError as error:
        raise AuthFailed(f"{file} can't be read ({error.strerror}): {_MEND}") from error
    except (ValueError, re.error) as error:
        raise AuthFailed(f"{file} is not a registration as JSON: {_MEND}") from error


def as_text(registration: Mapping[str, Any]) -> str:
    """Return the file's words."""
    return json.dumps(registration, indent=2)


def _registration(given: Mapping[str, Any]) -> Registration:
    fields = {key: text(given.get(key)) for key in ("id", "as_token", "hs_token")}
    users = sequence(mapping(given.get("namespaces")).get("users"))
    if not all(fields.values()):
        raise ValueError
    return Registration(
        url=text(given.get("url")) or None,
        users=tuple(re.compile(text(mapping(user).get("regex"))) for user in users if text(mapping(user).get("regex"))),
        **fields,
    )
