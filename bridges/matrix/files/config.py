# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether and how files get links: the bridge's ``files`` table. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from gateway.model import ConfigError
from gateway.model.units import seconds, size_bytes

T = TypeVar("T")

MAX_URL_BYTES = 80
"""A link is said on the air, where a whole text has some 200."""
LARGEST_BYTES = 2_000_000_000
_KEYS = frozenset({"url", "keep", "max_size"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesConfig:
    """What the table says, checked."""

    url: str
    """How people on the LAN reach the bridge's listener, without a slash at the end."""
    keep_s: int = 7 * 86_400
    """How long a link is good."""
    max_bytes: int = 20_000_000
    """A larger file has none."""

    @classmethod
    def from_table(cls, table: object) -> FilesConfig:
        """Read the raw table; ConfigError names the first key that is wrong and the mend."""
        if not isinstance(table, Mapping):
            raise ConfigError("files is not a table", key="files", mend='files = { url = "http://hilltop.lan:18031" }')
        for key in table:
            if key not in _KEYS:
                mend = f"one of {', '.join(sorted(_KEYS))}"
                raise ConfigError(f"{key} is not a setting of files", key=f"files.{key}", mend=mend)
        max_bytes = _read("max_size", table.get("max_size", "20MB"), size_bytes, 'max_size = "20MB"')
        return cls(
            url=_url(table.get("url")),
            keep_s=_read("keep", table.get("keep", "7d"), seconds, 'keep = "7d"'),
            max_bytes=min(max_bytes, LARGEST_BYTES),
        )


def _url(value: object) -> str:
    mend = 'url = "http://hilltop.lan:18031"'
    try:
        url = urlsplit(value if isinstance(value, str) else "")
        is_fine = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        is_fine = False
    if not isinstance(value, str) or not is_fine or url.query or url.fragment or url.username is not None:
        raise ConfigError("url is not where people on the LAN reach this box", key="files.url", mend=mend)
    if len(value) > MAX_URL_BYTES or not value.isascii() or any(character.isspace() for character in value):
        raise ConfigError(f"url is longer than {MAX_URL_BYTES} bytes, or not ASCII", key="files.url", mend=mend)
    return value.rstrip("/")


def _read(key: str, value: object, read: Callable[[str], T], mend: str) -> T:
    try:
        return read(str(value) if isinstance(value, str | int) and not isinstance(value, bool) else "")
    except ValueError as error:
        raise ConfigError(str(error), key=f"files.{key}", mend=mend) from error
