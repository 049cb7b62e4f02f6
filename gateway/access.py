# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may ask over TCP: under which names, and with which token."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.config import ApiSettings
from gateway.model import ConfigError

LEAST_TOKEN_CHARACTERS = 16
"""What `crossband token` makes has 43."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may ask over TCP."""

    hosts: frozenset[str]
    """Lower-case names and addresses, without port."""
    token_digest: bytes | None
    """SHA-256; None: nobody is asked for one, as only this box can connect."""

    @classmethod
    def of(cls, api: ApiSettings, name: str) -> Access:
        """Read the token's file; ConfigError if it can't be used. `name`: the gateway's."""
        hosts = {"localhost", "127.0.0.1", "::1", api.host.lower(), name.lower(), f"{name.lower()}.local", *api.hosts}
        return cls(hosts=frozenset(hosts), token_digest=_token_digest(api))

    def knows_host(self, header: str, local: str) -> bool:
        """Whether a Host header names this box; `local` is the address the request came in on.

        A name an attacker's DNS points at this box is refused: that is what rebinding needs.
        """
        host = _host_of(header)
        return host is not None and (host in self.hosts or host == local.lower())

    def admits(self, authorization: str) -> bool:
        """Whether an Authorization header has the token: Bearer, or (for browsers) Basic with any user."""
        if self.token_digest is None:
            return True
        given = hashlib.sha256(_token_in(authorization).encode("utf-8", "surrogateescape")).digest()
        return hmac.compare_digest(given, self.token_digest)


def _host_of(header: str) -> str | None:
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port
    except ValueError:
        return None
    plain = not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
    return parts.hostname.rstrip(".") if plain and parts.hostname else None


def _token_in(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _token_digest(api: ApiSettings) -> bytes | None:
    if api.token_file is None:
        return None
    try:
        token = api.token_file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the API's token can't be read: {error}", key="api.token_file", mend="Make one with `crossband token`"
        ) from error
    if len(token) < LEAST_TOKEN_CHARACTERS:
        raise ConfigError("the API's token is too short", key="api.token_file", mend="Make one with `crossband token`")
    return hashlib.sha256(token.encode()).digest()
