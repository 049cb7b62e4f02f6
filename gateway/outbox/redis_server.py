# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a server may hold the queue, judged from its INFO. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gateway.model import StoreRefused, StoreUnavailable
from gateway.outbox.redis_url import Way

OLDEST: Mapping[str, tuple[int, ...]] = MappingProxyType({"redis": (7, 0), "valkey": (7, 2)})
"""The first versions with script flags, which let a full server be drained."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Which server, of which version."""

    name: str
    version: tuple[int, ...]

    def __str__(self) -> str:
        """Return it as people write it: ``valkey 9.1.2``."""
        return f"{self.name} {'.'.join(map(str, self.version))}"


def parse_version(text: str) -> tuple[int, ...]:
    """Read the numbers a version begins with: ``9.1.2-rc1`` is (9, 1, 2). StoreRefused if none."""
    match = re.match(r"\d+(?:\.\d+)*", text)
    if not match:
        raise StoreRefused(f"the queue's server gives its version as {text[:40]!r}")
    return tuple(map(int, match[0].split(".")))


def refuse_too_old(engine: Engine) -> None:
    """Raise StoreRefused unless this engine is one we know and new enough."""
    oldest = OLDEST.get(engine.name)
    if oldest is None:
        raise StoreRefused(f"{engine} can't hold the queue: use Redis >= 7.0 or Valkey >= 7.2")
    if engine.version < oldest:
        raise StoreRefused(f"{engine} is too old: the queue needs Redis >= 7.0 or Valkey >= 7.2")


def engine_of(info: Mapping[str, Any]) -> Engine:
    """Return which engine answered this INFO."""
    for other in ("dragonfly", "keydb", "garnet"):
        if f"{other}_version" in info:
            return Engine(other, parse_version(str(info[f"{other}_version"])))
    if "valkey_version" in info:
        return Engine("valkey", parse_version(str(info["valkey_version"])))
    return Engine("redis", parse_version(str(info.get("redis_version", "0"))))


def _vet_topology(info: Mapping[str, Any], way: Way) -> None:
    clustered = bool(int(info.get("cluster_enabled", 0)))
    if clustered and way is not Way.CLUSTER:
        raise StoreRefused("the queue's server is part of a Cluster: write redis+cluster://HOST,HOST in [queue] url")
    if way is Way.CLUSTER and not clustered:
        raise StoreRefused("the queue's server is not part of a Cluster: write redis://HOST in [queue] url")
    if info.get("role") not in {"slave", "replica"}:
        return
    if way is Way.PLAIN:
        raise StoreRefused("the queue's server is a replica: name the primary in [queue] url, or its Sentinels")
    raise StoreUnavailable("the queue's server has become a replica; its successor isn't known yet")


def vet(info: Mapping[str, Any], way: Way = Way.PLAIN) -> Engine:
    """Return the engine, or raise StoreRefused / StoreUnavailable saying why it can't hold the queue.

    `way`: how it was found.
    """
    engine = engine_of(info)
    refuse_too_old(engine)
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        raise StoreRefused(
            f"the queue's server throws data away when it is full (maxmemory-policy {policy}): "
            "set maxmemory-policy noeviction, or give the queue a server of its own"
        )
    _vet_topology(info, way)
    if str(info.get("aof_last_write_status", "ok")) != "ok":
        raise StoreUnavailable("the queue's server can't write to its disk")
    if int(info.get("loading", 0)):
        raise StoreUnavailable("the queue's server is still loading its data")
    return engine
