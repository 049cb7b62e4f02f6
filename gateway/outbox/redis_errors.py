# SPDX-License-Identifier: GPL-3.0-or-later
"""redis-py's errors as ours: by type, or by the code a server's error begins with."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from types import MappingProxyType

import redis.exceptions as theirs
from redis.asyncio import connection
from redis.asyncio.sentinel import MasterNotFoundError

from gateway.model import LeaseLost, OutboxError, StoreRefused, StoreUnavailable

_LOGIN = "the queue's server refused the login: mend user and password in [queue] url, or its password_file"


# The first that fits; the most particular ones come first.
_BY_TYPE: tuple[tuple[type[Exception], type[OutboxError], str], ...] = (
    (theirs.BusyLoadingError, StoreUnavailable, "the queue's server is still loading its data"),
    (
        theirs.AuthenticationError,
        StoreRefused,
        _LOGIN,
    ),
    (theirs.AuthorizationError, StoreRefused, _LOGIN),
    (theirs.AuthenticationWrongNumberOfArgsError, StoreRefused, _LOGIN),
    (theirs.NoPermissionError, StoreRefused, "the queue's user may not do what the gateway needs: mend its ACL"),
    (theirs.OutOfMemoryError, StoreUnavailable, "the queue's server is out of memory (maxmemory reached)"),
    (theirs.ReadOnlyError, StoreUnavailable, "the queue's server is a read-only replica now"),
    (theirs.MovedError, StoreUnavailable, "the queue's cluster doesn't agree who has its slot"),
    (theirs.AskError, StoreUnavailable, "the queue's slot is on its way to another node"),
    (theirs.TryAgainError, StoreUnavailable, "the queue's slot is on its way to another node"),
    (theirs.MasterDownError, StoreUnavailable, "the queue's server is a replica whose primary is away"),
    (theirs.ClusterDownError, StoreUnavailable, "the queue's cluster is down: not all of its slots are served"),
    (theirs.ClusterCrossSlotError, StoreRefused, "the queue's server cuts slots otherwise than Redis does"),
    (
        theirs.InvalidResponse,
        StoreRefused,
        "what answers there doesn't speak the Redis protocol: mend host and port in [queue] url",
    ),
    (
        MasterNotFoundError,
        StoreUnavailable,
        "no Sentinel that answers knows such a primary that is up: look at its name, and at how many Sentinels run",
    ),
    (theirs.MaxConnectionsError, StoreUnavailable, "too many calls to the queue at once"),
    (theirs.TimeoutError, StoreUnavailable, "the queue's server didn't answer in time"),
    (theirs.ConnectionError, StoreUnavailable, "the queue's server can't be reached"),
    (TimeoutError, StoreUnavailable, "the queue's server didn't answer in time"),
    (OSError, StoreUnavailable, "the queue's server can't be reached"),
)

_BY_CODE: Mapping[str, tuple[type[OutboxError], str]] = MappingProxyType(
    {
        "LEASELOST": (LeaseLost, "another holder has this destination"),
        "MISCONF": (StoreUnavailable, "the queue's server can't write to its disk"),
        "NOREPLICAS": (StoreUnavailable, "the queue's server has too few replicas to accept writes"),
        "MASTERDOWN": (StoreUnavailable, "the queue's server is a replica whose primary is away"),
        "CLUSTERDOWN": (StoreUnavailable, "the queue's cluster is down: not all of its slots are served"),
        "CROSSSLOT": (StoreRefused, "the queue's server cuts slots otherwise than Redis does"),
        "BUSY": (StoreUnavailable, "the queue's server is busy with somebody's script"),
        "UNBLOCKED": (StoreUnavailable, "the queue's server is changing its role"),
        "WRONGTYPE": (
            StoreRefused,
            "somebody else's data is under the queue's keys: choose another database or community",
        ),
        "NOPROTO": (StoreRefused, "the queue's server doesn't speak the Redis protocol"),
    }
)

CAUGHT = (theirs.RedisError, OSError, TimeoutError)
"""What a call through redis-py may raise when the server, or the way to it, is at fault."""


def is_of_lost_connection(error: AttributeError) -> bool:
    """Tell whether redis-py (8.1 and before) tried to write on a connection that was lost while it was made.

    Its greeting then finds no writer any more: an AttributeError where a ConnectionError is meant.
    """
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and frame.tb_frame.f_globals.get("__name__") == connection.__name__ and error.obj is None


def outbox_error(error: Exception) -> OutboxError:
    """Return what this error means to the gateway, with a reason in words."""
    code = getattr(error, "status_code", None) or str(error).partition(" ")[0]
    if code in _BY_CODE:
        kind, reason = _BY_CODE[code]
        return kind(reason)
    if (cause := _of_tls(error)) is not None:
        return StoreRefused(
            _with_cause("TLS with the queue's server failed: mend its certificate, or [queue] url", cause)
        )
    for of, kind, reason in _BY_TYPE:
        if isinstance(error, of):
            return kind(_with_cause(reason, error))
    return StoreUnavailable(_with_cause("the queue's server refused", error))


def _of_tls(error: BaseException | None) -> ssl.SSLError | None:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error


def _with_cause(reason: str, error: Exception) -> str:
    text = str(error).strip().rstrip(".")
    return f"{reason}: {text}" if text else reason
