# SPDX-License-Identifier: GPL-3.0-or-later
"""What the page is called on the network: ``hilltop.local``, and another name where that one is taken. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence

MOST_NAMES = 9
"""``hilltop``, ``hilltop-2`` to ``hilltop-9``: RFC 6762, section 9, has the second host of a name choose another."""
MOST_LABEL = 60
"""Of 63 characters of a label (RFC 1035, section 2.3.4), so that a number fits."""
_NO_LABEL = re.compile(r"[^a-z0-9-]+")
_V6 = 6


def label_of(box: str) -> str:
    """Return a box's name as the first part of a host's."""
    return _NO_LABEL.sub("-", box.lower())[:MOST_LABEL].strip("-") or "crossband"


def names_of(box: str) -> tuple[str, ...]:
    """Return the names in the order in which they are tried."""
    label = label_of(box)
    return (f"{label}.local", *(f"{label}-{nth}.local" for nth in range(2, MOST_NAMES + 1)))


def shown_at(page: str, interfaces: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return, by interface, under which of its addresses the page at ``host:port`` is reached.

    Link-local ones only where there is no other: a browser can't be told on which cable they are.
    """
    host = page.rpartition(":")[0].strip("[]")
    found: dict[str, tuple[str, ...]] = {}
    for name, addresses in interfaces.items():
        there = [each for each in addresses if serves(host, each)]
        wide = [each for each in there if "%" not in each]
        if wide or there:
            found[name] = tuple(wide or there)
    return found


def serves(host: str, address: str) -> bool:
    """Whether what listens at a host, which may be every one, is reached at this address."""
    at = ipaddress.ip_address(address.partition("%")[0])
    if host in {"", "0.0.0.0"}:  # noqa: S104 - what a configuration may say
        return at.version != _V6
    if host == "::":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]) == at
    except ValueError:
        return False
