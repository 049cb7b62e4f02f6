# SPDX-License-Identifier: GPL-3.0-or-later
"""How redis-py is used: short time limits, and none of its own retries."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Protocol

import hiredis
import redis.exceptions as theirs
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelManagedConnection
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider

from gateway.model import StoreRefused
from gateway.outbox.one_slot import OneSlot
from gateway.outbox.redis_url import Target, Way, read

ANSWER_WITHIN_S: Final = 5.0
CONNECT_WITHIN_S: Final = 3.0
SENTINEL_WITHIN_S: Final = 1.0
"""They are asked in turn, so one that is away holds the others up for so long."""


class Client(Protocol):
    """What of redis-py is used."""

    async def execute_command(self, *command: Any) -> Any:
        """Say one command, return its answer."""
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


def connect(url: str, *, key: str, password_file: Path | None = None) -> Client:
    """Return a client for the server that has `key`; StoreRefused for a url of another form.

    Opens nothing. The password's file is read for each connection: a mended one needs no restart.
    """
    try:
        target = read(url)
        options = _options(target, password_file)
        match target.way:
            case Way.PLAIN:
                return _plain(target.url, options)
            case Way.SENTINEL:
                return Primary(target, options)
            case Way.CLUSTER:
                return OneSlot(target.hosts, key=key, connect=lambda host, port: _node(host, port, options, target))
    except (TypeError, ValueError, theirs.DataError) as error:
        raise StoreRefused(f"[queue] url can't be used: {error}") from error


def _options(target: Target, password_file: Path | None) -> dict[str, Any]:
    options: dict[str, Any] = {
        "socket_timeout": ANSWER_WITHIN_S,
        "socket_connect_timeout": CONNECT_WITHIN_S,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,  # lists for lists: RESP3 would make maps and doubles of some answers
    }
    if password_file is not None:
        options["credential_provider"] = PasswordFile(password_file, target.user)
    return options


def _login(target: Target, options: dict[str, Any]) -> dict[str, Any]:
    if "credential_provider" in options:
        return options
    return {**options, "username": target.user, "password": target.password}


def _plain(url: str, options: dict[str, Any]) -> Redis:
    pool = ConnectionPool.from_url(url, **options)
    if "credential_provider" in options:
        pool.connection_kwargs.pop("username", None)
    pool.connection_class(**pool.connection_kwargs)  # an option nobody knows shows here, not at the first message
    return _packed(pool)


def _node(host: str, port: int, options: dict[str, Any], target: Target) -> Redis:
    return _packed(ConnectionPool(host=host, port=port, **_login(target, options)))


def _packed(pool: ConnectionPool) -> Redis:
    pool.connection_class = type("Connection", (_Packed, pool.connection_class), {})
    return Redis.from_pool(pool)


class Primary:
    """Speaks to whichever server the Sentinels name."""

    def __init__(self, target: Target, options: dict[str, Any]) -> None:
        limits = {"socket_timeout": SENTINEL_WITHIN_S, "socket_connect_timeout": SENTINEL_WITHIN_S}
        asked = {**limits, "retry": options["retry"], "protocol": 2}
        self._sentinels = Sentinel(target.hosts, sentinel_kwargs=asked)  # type: ignore[no-untyped-call]  # theirs
        login = _login(target, options)
        self._client: Redis = self._sentinels.master_for(
            target.name, db=target.db, connection_class=_OfPrimary, **login
        )

    async def execute_command(self, *command: Any) -> Any:
        """Say one command to the primary."""
        return await self._client.execute_command(*command)  # type: ignore[no-untyped-call]  # theirs is untyped

    async def aclose(self) -> None:
        """Close all connections, to the Sentinels too."""
        await self._client.aclose()
        for sentinel in self._sentinels.sentinels:
            await sentinel.aclose()


class _Packed:
    """A connection that packs its commands in C: redis-py's own packing is a third of a batched put."""

    def pack_command(self, *args: str | bytes | int) -> list[bytes]:
        """Return one command as the bytes to send."""
        name, *rest = args
        words = str(name).split()  # "CONFIG GET" is two
        return [hiredis.pack_command((*words, *rest))]  # type: ignore[arg-type]  # any length is meant


class _OfPrimary(_Packed, SentinelManagedConnection):  # type: ignore[misc]  # theirs declares more than it takes
    """A connection to whichever server the Sentinels name."""


class PasswordFile(CredentialProvider):
    """Reads the password anew for each connection."""

    def __init__(self, path: Path, user: str | None) -> None:
        self._path = path
        self._user = user

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return the login; AuthenticationError if the file can't be read."""
        try:
            password = self._path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise theirs.AuthenticationError(f"[queue] password_file can't be read: {error}") from error
        return (password,) if self._user is None else (self._user, password)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Return the same: a file this small takes no time."""
        return self.get_credentials()
