# SPDX-License-Identifier: GPL-3.0-or-later
"""How a queue is named: one server, one found through Sentinels, or a Cluster. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import unquote

FORMS = "redis://HOST rediss://HOST unix://PATH redis+sentinel://HOST,HOST/NAME redis+cluster://HOST,HOST"
_PLAIN = ("redis", "rediss", "unix")
_PORTS = {"redis+sentinel": 26379, "redis+cluster": 6379}


class Way(StrEnum):
    """How the server is found."""

    PLAIN = "plain"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the queue is."""

    way: Way
    url: str = field(default="", repr=False)
    """Of one plain server, for redis-py; may hold a password."""
    hosts: tuple[tuple[str, int], ...] = ()
    """Sentinels, or nodes of the Cluster."""
    name: str = ""
    """Under which the Sentinels know the primary."""
    db: int = 0
    user: str | None = None
    password: str | None = field(default=None, repr=False)


def read(url: str) -> Target:
    """Read a url; ValueError with reason and mend, without what may be secret in it."""
    scheme, found, rest = url.partition("://")
    if not found or not rest or scheme not in (*_PLAIN, *_PORTS):
        raise ValueError(f"it is neither 'embedded' nor an address of a queue; write embedded or one of {FORMS}")
    login, _, place = rest.rpartition("@")
    user, _, password = login.partition(":")
    if scheme in ("redis", "rediss"):
        server, _, db = place.partition("?")[0].partition("/")
        _host(server or "localhost", 6379)
        _number(db or "0", "the database")
    if scheme in _PLAIN:
        return Target(way=Way.PLAIN, url=url, user=unquote(user) or None, password=unquote(password) or None)
    if "?" in place:
        raise ValueError(f"{scheme}:// takes no options; leave out what follows the '?'")
    hosts, _, path = place.partition("/")
    name, _, db = path.partition("/")
    target = Target(
        way=Way.SENTINEL if scheme == "redis+sentinel" else Way.CLUSTER,
        hosts=tuple(_host(one, _PORTS[scheme]) for one in hosts.split(",")),
        name=unquote(name),
        db=_number(db or "0", "the database"),
        user=unquote(user) or None,
        password=unquote(password) or None,
    )
    if target.way is Way.SENTINEL and not target.name:
        raise ValueError(
            "the primary's name is missing; write redis+sentinel://HOST,HOST/NAME, NAME as in 'sentinel monitor NAME'"
        )
    if target.way is Way.CLUSTER and path:
        raise ValueError("a Cluster has no names and one database; leave out what follows the hosts")
    return target


def _host(text: str, port: int) -> tuple[str, int]:
    """Read ``host``, ``host:port``, ``[address]:port``."""
    host, bracket, rest = text.partition("]")
    if text.startswith("[") and bracket:
        return host[1:], _number(rest[1:], "a port") if rest else port
    host, colon, number = text.partition(":")
    if not host:
        raise ValueError("a host is missing; write HOST:PORT,HOST:PORT")
    return host, _number(number, "a port") if colon else port


def _number(text: str, what: str) -> int:
    if not text.isdecimal() or int(text) > 65535:  # noqa: PLR2004 - the largest port
        raise ValueError(f"{what} is not a number; write HOST:PORT")
    return int(text)
