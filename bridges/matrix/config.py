# SPDX-License-Identifier: GPL-3.0-or-later
"""A Matrix bridge's table of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bridges.matrix.plain import valid_id
from bridges.matrix.shown import Shown
from gateway.model import ConfigError

_SECRET_KEYS = frozenset({"access_token_file", "password_file"})
PATH_KEYS = _SECRET_KEYS | {"registration_file"}
_KEYS = PATH_KEYS | {
    "kind",
    "homeserver",
    "mode",
    "user_id",
    "device_id",
    "listen",
    "allow_encrypted",
    "direct",
    "notice",
    "progress",
}


_MOST_PORTS = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixConfig:
    """What ``[bridges.NAME]`` says, checked."""

    homeserver: str
    """Its URL without a slash at the end."""
    user_id: str
    access_token_file: Path | None = None
    password_file: Path | None = None
    """One of the two in bot mode; with a password the bridge logs in itself and keeps the token."""
    registration_file: Path | None = None
    """Of an application service; None: bot mode."""
    listen: str | None = None
    """``host:port`` where the homeserver reaches us, in appservice mode; None: it doesn't."""
    device_id: str | None = None
    allow_encrypted: bool | frozenset[str] = False
    """Encrypted rooms that may be bridged: all, none, or those named by id or alias."""
    notice: bool = True
    """Say once, in a room that is carried by radio, that anyone in range reads along."""
    shown: Shown = field(default_factory=Shown)
    """What people see of what becomes of their messages: the table ``progress``."""

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> MatrixConfig:
        """Read the raw table; ConfigError names the first key that is wrong and the mend."""
        _check_known(table)
        token, password, registration = _secrets(table)
        return cls(
            homeserver=_homeserver(table.get("homeserver")),
            user_id=_user_id(table.get("user_id")),
            access_token_file=token,
            password_file=password,
            registration_file=registration,
            listen=_listen(table, registration),
            device_id=_text(table, "device_id"),
            allow_encrypted=_allowed(table.get("allow_encrypted", False)),
            notice=_flag(table, "notice", default=True),
            shown=Shown.from_table(table.get("progress", {})),
        )


def check(table: Mapping[str, Any]) -> frozenset[str]:
    """Validate without I/O; return what the bridge holds alone: its account."""
    config = MatrixConfig.from_table(table)
    claims = {f"matrix:{config.user_id}"}
    return frozenset(claims | ({f"tcp:{config.listen}"} if config.listen else set()))


def _check_known(table: Mapping[str, Any]) -> None:
    for key in table:
        if key not in _KEYS:
            raise ConfigError(f"{key} is not a setting of a matrix bridge", key=key, mend=f"one of {_listed(_KEYS)}")
    _text(table, "direct")


def _homeserver(value: object) -> str:
    mend = 'homeserver = "https://matrix.example.org"'
    if not isinstance(value, str):
        raise ConfigError("homeserver is missing or not text", key="homeserver", mend=mend)
    try:
        url = urlsplit(value)
        port_is_fine = url.port is None or url.port > 0
    except ValueError:
        port_is_fine = False
    if not port_is_fine or url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
        raise ConfigError(f"{value!r} is not the URL of a homeserver", key="homeserver", mend=mend)
    if url.username is not None:
        raise ConfigError("homeserver must not hold a name or password", key="homeserver", mend=mend)
    return value.rstrip("/")


def _user_id(value: object) -> str:
    user_id = valid_id(value, "@")
    if user_id is None or not all(user_id[1:].partition(":")):
        raise ConfigError(
            "user_id is missing or not a Matrix user id", key="user_id", mend='user_id = "@crossband:example.org"'
        )
    return user_id


def _secrets(table: Mapping[str, Any]) -> tuple[Path | None, Path | None, Path | None]:
    """Return the files of a token, a password and a registration: the one that the mode needs."""
    given = {key: Path(value) for key in sorted(PATH_KEYS) if (value := _text(table, key))}
    match table.get("mode", "bot"):
        case "bot":
            _need_one(given, _SECRET_KEYS, "run `crossband matrix login` and name the file it wrote")
        case "appservice":
            mend = "run `crossband matrix registration` and name the file it wrote"
            _need_one(given, frozenset({"registration_file"}), mend)
        case mode:
            raise ConfigError(f"{mode!r} is not a mode", key="mode", mend='mode = "bot" or "appservice"')
    return given.get("access_token_file"), given.get("password_file"), given.get("registration_file")


def _need_one(given: Mapping[str, Path], keys: frozenset[str], mend: str) -> None:
    if alien := sorted(set(given) - keys):
        raise ConfigError(f"{alien[0]} is not for this mode", key=alien[0], mend=mend)
    if len(given) != 1:
        named = " and ".join(sorted(keys))
        reason = f"{named} is needed" if len(keys) == 1 else f"one of {named} is needed, not both"
        raise ConfigError(reason, key=min(keys), mend=mend)


def _listen(table: Mapping[str, Any], registration: Path | None) -> str | None:
    listen = _text(table, "listen")
    if listen is None:
        return None
    mend = 'listen = "127.0.0.1:18031"'
    if registration is None:
        raise ConfigError("only an application service listens", key="listen", mend='mode = "appservice"')
    host, colon, port = listen.rpartition(":")
    if not (host and colon and port.isascii() and port.isdigit() and 0 < int(port) < _MOST_PORTS):
        raise ConfigError(f"{listen!r} is not host:port", key="listen", mend=mend)
    return listen


def _allowed(value: object) -> bool | frozenset[str]:
    if isinstance(value, bool):
        return value
    if isinstance(value, list) and all(isinstance(room, str) and room[:1] in ("!", "#") for room in value):
        return frozenset(value)
    raise ConfigError(
        "allow_encrypted is neither true, false nor a list of rooms",
        key="allow_encrypted",
        mend='allow_encrypted = ["#town:example.org"]',
    )


def _text(table: Mapping[str, Any], key: str) -> str | None:
    value = table.get(key)
    if value is None or (isinstance(value, str) and value):
        return value
    raise ConfigError(f"{key} is empty or not text", key=key, mend=f'{key} = "..."')


def _flag(table: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = table.get(key, default)
    if isinstance(value, bool):
        return value
    raise ConfigError(f"{key} is neither true nor false", key=key, mend=f"{key} = {str(default).lower()}")


def _listed(keys: frozenset[str]) -> str:
    return ", ".join(sorted(keys))
