# SPDX-License-Identifier: GPL-3.0-or-later
"""How redis-py is used: short time limits, and none of its own retries."""

from __future__ import annotations

from typing import Final

import hiredis
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.model import StoreRefused

ANSWER_WITHIN_S: Final = 5.0
CONNECT_WITHIN_S: Final = 3.0
_PLAIN: Final = ("redis://", "rediss://", "unix://")


def connect(url: str) -> Redis:
    """Return a client for a plain server; StoreRefused for a url of another form."""
    if not url.startswith(_PLAIN):
        scheme = url.partition(":")[0]
        raise StoreRefused(f"[queue] url: {scheme}:// comes with a later release; use redis://, rediss:// or unix://")
    try:
        pool = ConnectionPool.from_url(
            url,
            socket_timeout=ANSWER_WITHIN_S,
            socket_connect_timeout=CONNECT_WITHIN_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,  # lists for lists: RESP3 would make maps and doubles of some answers
        )
        pool.connection_class(**pool.connection_kwargs)  # an option nobody knows shows here, not at the first message
    except (TypeError, ValueError) as error:
        raise StoreRefused(f"[queue] url can't be used: {error}") from error
    pool.connection_class = type("Connection", (_Packed, pool.connection_class), {})
    return Redis.from_pool(pool)


class _Packed:
    """A connection that packs its commands in C: redis-py's own packing is a third of a batched put."""

    def pack_command(self, *args: str | bytes | int) -> list[bytes]:
        """Return one command as the bytes to send."""
        name, *rest = args
        words = str(name).split()  # "CONFIG GET" is two
        return [hiredis.pack_command((*words, *rest))]  # type: ignore[arg-type]  # any length is meant
