# SPDX-License-Identifier: GPL-3.0-or-later
"""How often one address may ask. Time is an argument."""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MOST_PREFIXES = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many at once, and so many a second from then on."""

    burst: float
    per_s: float


class Buckets:
    """A token bucket for each prefix: at most `MOST_PREFIXES`, the one that asked nothing for longest is forgotten."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, prefix: str, now_s: float) -> float:
        """Take one; return 0, or how many seconds to wait where there is none."""
        left, at = self._left.pop(prefix, (self._rate.burst, now_s))
        left = min(self._rate.burst, left + max(0.0, now_s - at) * self._rate.per_s)
        wait = 0.0 if left >= 1 else (1 - left) / self._rate.per_s
        self._left[prefix] = (left - 1 if left >= 1 else left, now_s)
        if len(self._left) > MOST_PREFIXES:
            self._left.popitem(last=False)
        return wait


class Places:
    """How many hold something at once: each prefix, and all together."""

    def __init__(self, *, each: int, most: int) -> None:
        self._each = each
        self._most = most
        self._taken: Counter[str] = Counter()

    def is_full(self, prefix: str) -> bool:
        """Whether it may have no more."""
        return self._taken[prefix] >= self._each or self._taken.total() >= self._most

    @contextmanager
    def taken(self, prefix: str) -> Iterator[None]:
        """Hold one."""
        self._taken[prefix] += 1
        try:
            yield
        finally:
            self._taken -= Counter((prefix,))  # and forgets whoever has none


def prefix_of(address: str) -> str:
    """Return what stands for one household: an IPv4 address, the /64 of an IPv6 one, or what isn't an address."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is None:
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip.ipv4_mapped or ip) if isinstance(ip, ipaddress.IPv6Address) else str(ip)
