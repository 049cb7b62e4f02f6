# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever redis-py raises becomes one of three errors, with a reason a person can read."""

from __future__ import annotations

import pytest
import redis.exceptions as theirs

from gateway.model import LeaseLost, OutboxError, StoreRefused, StoreUnavailable
from gateway.outbox.redis_errors import outbox_error


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
        (theirs.MovedError("1234 127.0.0.1:7000"), StoreRefused, "Cluster"),
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
