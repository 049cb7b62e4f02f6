# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever redis-py raises becomes one of three errors, with a reason a person can read."""

from __future__ import annotations

import ssl

import pytest
import redis.exceptions as theirs
from redis.asyncio.connection import Connection
from redis.asyncio.sentinel import MasterNotFoundError

from gateway.model import LeaseLost, OutboxError, StoreRefused, StoreUnavailable
from gateway.outbox.redis_errors import is_of_lost_connection, outbox_error


def because(cause: Exception) -> Exception:
    error = theirs.ConnectionError("Error 1 connecting to host:6379.")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (theirs.ResponseError("LEASELOST another holder has this destination"), LeaseLost, "another holder"),
        (theirs.ResponseError("MISCONF Errors writing to the AOF file: No space"), StoreUnavailable, "disk"),
        (theirs.OutOfMemoryError("command not allowed"), StoreUnavailable, "out of memory"),
        (theirs.ReadOnlyError("You can't write"), StoreUnavailable, "read-only replica"),
        (theirs.BusyLoadingError("Redis is loading"), StoreUnavailable, "still loading"),
        (theirs.AuthenticationError("Authentication required."), StoreRefused, "refused the login"),
        (theirs.NoPermissionError("no permissions to run 'evalsha'"), StoreRefused, "ACL"),
        (theirs.MovedError("1234 127.0.0.1:7000"), StoreUnavailable, "doesn't agree who has its slot"),
        (theirs.AskError("1234 127.0.0.1:7000"), StoreUnavailable, "on its way to another node"),
        (theirs.TryAgainError("Multiple keys request during rehashing"), StoreUnavailable, "on its way to another"),
        (theirs.ClusterDownError("The cluster is down"), StoreUnavailable, "not all of its slots are served"),
        (theirs.MasterDownError("Link with MASTER is down"), StoreUnavailable, "whose primary is away"),
        (theirs.ClusterCrossSlotError("Keys in request don't hash"), StoreRefused, "cuts slots otherwise"),
        (MasterNotFoundError("No master found for 'main'"), StoreUnavailable, "how many Sentinels run"),
        (theirs.InvalidResponse("Protocol Error: b'HTTP'"), StoreRefused, "doesn't speak the Redis protocol"),
        (because(ssl.SSLCertVerificationError("self-signed")), StoreRefused, "mend its certificate"),
        (theirs.AuthenticationWrongNumberOfArgsError("no user"), StoreRefused, "refused the login"),
        (theirs.ResponseError("NOREPLICAS Not enough good replicas to write."), StoreUnavailable, "too few replicas"),
        (theirs.ResponseError("BUSY Valkey is busy running a script"), StoreUnavailable, "somebody's script"),
        (theirs.ResponseError("WRONGTYPE Operation against a key"), StoreRefused, "somebody else's data"),
        (theirs.TimeoutError("Timeout reading"), StoreUnavailable, "in time"),
        (theirs.ConnectionError("Error 111 connecting"), StoreUnavailable, "can't be reached"),
        (ConnectionResetError("reset"), StoreUnavailable, "can't be reached"),
        (theirs.ResponseError("something new"), StoreUnavailable, "something new"),
    ],
)
def test_each_error_gets_its_meaning(error: Exception, kind: type[OutboxError], reason: str) -> None:
    ours = outbox_error(error)
    assert type(ours) is kind
    assert reason in str(ours)


async def test_a_connection_that_is_lost_while_it_is_made_is_told_from_a_defect_of_ours() -> None:
    with pytest.raises(AttributeError) as lost:
        await Connection()._send_packed_command([b"PING"])  # as redis-py does where its writer went meanwhile
    with pytest.raises(AttributeError) as ours:
        None.execute_command  # type: ignore[attr-defined]  # noqa: B018  # what a defect looks like
    assert is_of_lost_connection(lost.value)
    assert not is_of_lost_connection(ours.value)
