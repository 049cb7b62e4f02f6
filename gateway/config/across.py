# SPDX-License-Identifier: GPL-3.0-or-later
"""What one table alone can't say: bridges against each other, routes against bridges, who may listen where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

from gateway.config.paths import Paths
from gateway.config.problems import KeyPath, Problem
from gateway.config.settings import ApiSettings, BridgeSettings, QueueSettings
from gateway.config.tables import Document, RouteTable
from gateway.model import Address, BridgeKind, BridgeName, ConfigError, units
from gateway.outbox import redis_url
from gateway.registry import Registry
from gateway.routing import ALSO, Route


def read_bridges(
    document: Document, paths: Paths, registry: Registry, problems: list[Problem]
) -> Mapping[BridgeName, BridgeSettings]:
    """Check every bridge's table with its kind, and that no two want the same port or device."""
    found: dict[BridgeName, BridgeSettings] = {}
    host, port = document.api.listen
    holders: dict[str, str] = {} if port == 0 else {_tcp(host, port): "the API (api.listen)"}
    for name, table in document.bridges.items():
        kind = _kind(name, table, registry, problems)
        if kind is None:
            continue
        raw = _with_paths(name, table, kind, paths, problems)
        for claim in sorted(_claims(name, raw, kind, problems)):
            _hold(claim, name, raw, holders, mend=kind.apart(claim), problems=problems)
        direct = _direct(name, table, document, registry, problems)
        found[BridgeName(name)] = BridgeSettings(
            name=BridgeName(name), kind=str(table["kind"]), direct=direct, table=raw
        )
    return found


def _kind(name: str, table: Mapping[str, Any], registry: Registry, problems: list[Problem]) -> BridgeKind | None:
    path: KeyPath = ("bridges", name, "kind")
    wanted = table.get("kind")
    if not isinstance(wanted, str):
        known = ", ".join(registry.names)
        reason = "is missing" if wanted is None else "is not a text"
        problems.append(Problem(path=path, reason=reason, mend=f"Known kinds: {known}"))
        return None
    try:
        return registry.kind(wanted)
    except ConfigError as error:
        problems.append(Problem(path=path, reason=error.reason, mend=error.mend))
        return None


def _with_paths(
    name: str, table: Mapping[str, Any], kind: BridgeKind, paths: Paths, problems: list[Problem]
) -> dict[str, Any]:
    raw = dict(table)
    for key in [key for key in raw if key.endswith("_file") or key in kind.path_keys]:
        path = paths.read(raw[key], ("bridges", name, key), problems)
        raw[key] = "" if path is None else str(path)
    return raw


def _claims(name: str, raw: Mapping[str, Any], kind: BridgeKind, problems: list[Problem]) -> frozenset[str]:
    try:
        return kind.check(raw)
    except ConfigError as error:
        keys = error.key.split(".") if error.key else []
        problems.append(Problem(path=("bridges", name, *keys), reason=error.reason, mend=error.mend))
        return frozenset()


def _hold(
    claim: str, name: str, raw: Mapping[str, Any], holders: dict[str, str], *, mend: str, problems: list[Problem]
) -> None:
    holder = next((who for held, who in holders.items() if _collide(held, claim)), None)
    if holder is None:
        holders[claim] = f"bridges.{name}"
        return
    path: KeyPath = ("bridges", name, *_key_behind(claim, raw))
    problems.append(Problem(path=path, reason=f"{claim} is already taken by {holder}", mend=mend))


def _key_behind(claim: str, raw: Mapping[str, Any]) -> Sequence[str]:
    """Find the key a claim was made from, to name its line: the value stands in the claim."""
    values = [(key, value) for key, value in raw.items() if isinstance(value, str) and value and value in claim]
    return [max(values, key=lambda item: len(item[1]))[0]] if values else []


def _collide(held: str, claim: str) -> bool:
    if held == claim:
        return True
    if not (held.startswith("tcp:") and claim.startswith("tcp:")):
        return False
    try:
        hosts = units.host_port(held[4:]), units.host_port(claim[4:])
    except ValueError:
        return False
    (host, port), (other, other_port) = hosts
    return port == other_port != 0 and (units.is_wildcard(host) or units.is_wildcard(other))


def _tcp(host: str, port: int) -> str:
    return f"tcp:[{host}]:{port}" if ":" in host else f"tcp:{host}:{port}"


def _direct(
    name: str, table: Mapping[str, Any], document: Document, registry: Registry, problems: list[Problem]
) -> Address | None:
    if "direct" not in table:
        return None
    path: KeyPath = ("bridges", name, "direct")
    try:
        address = Address.parse(str(table["direct"]))
    except ValueError as error:
        problems.append(Problem(path=path, reason=str(error), mend='Write direct = "home/#town:example.org"'))
        return None
    _check_known(address, path, document, registry, problems)
    return address


def _check_known(
    address: Address, path: KeyPath, document: Document, registry: Registry, problems: list[Problem]
) -> None:
    if address.bridge not in document.bridges:
        known = ", ".join(document.bridges) or "none is configured"
        reason = f"there is no bridge called {address.bridge!r}"
        problems.append(Problem(path=path, reason=reason, mend=f"Bridges here: {known}"))
        return
    # A kind that is unknown or can't be loaded is a problem of the bridge's own.
    with suppress(ConfigError):
        kind = registry.kind(str(document.bridges[address.bridge].get("kind")))
        if reason := kind.malformed(address.conversation):
            problems.append(Problem(path=path, reason=reason, mend="Write one that can be there"))


def read_routes(document: Document, registry: Registry, problems: list[Problem]) -> tuple[Route, ...]:
    """Check every route against the bridges and the other routes."""
    names: set[str] = set()
    for index, table in enumerate(document.routes):
        is_whole = len(table.join) == 1 and _is_enough(table.join[0], document, registry)
        found = chain(_shape(table, is_whole=is_whole), _repeats(table), _limits(table))
        problems += [Problem(path=("routes", index, *p.path), reason=p.reason, mend=p.mend) for p in found]
        for key, addresses in _lists(table):
            for place, address in enumerate(addresses):
                _check_known(address, ("routes", index, key, place), document, registry, problems)
        if table.name in names:
            reason = f"there is another route called {table.name!r}"
            problems.append(Problem(path=("routes", index, "name"), reason=reason, mend="Give each its own name"))
        names.add(table.name)
    return tuple(_route(table) for table in document.routes)


def _route(table: RouteTable) -> Route:
    return Route(
        name=table.name,
        sources=table.join or table.sources,
        targets=table.join or table.targets,
        expires_s={BridgeName(bridge): limit for bridge, limit in table.expires.items()},
        digest_after_s={BridgeName(bridge): limit for bridge, limit in table.digest_after.items()},
        also=ALSO if table.also is None else frozenset(table.also),
    )


def _lists(table: RouteTable) -> tuple[tuple[str, tuple[Address, ...]], ...]:
    return (("join", table.join), ("from", table.sources), ("to", table.targets))


def _is_enough(only: Address, document: Document, registry: Registry) -> bool:
    """Whether a route needs no second end: what is said in a room between boxes goes to all of them as it is."""
    with suppress(ConfigError):
        kind = registry.kind(str(document.bridges.get(only.bridge, {}).get("kind")))
        return kind.between_boxes and not kind.is_direct(only.conversation)
    return False


def _shape(table: RouteTable, *, is_whole: bool) -> Iterator[Problem]:
    one_way = bool(table.sources or table.targets)
    if table.join and one_way:
        yield Problem(path=("join",), reason="a route has either join or from and to", mend="Make two routes of it")
    elif one_way and not (table.sources and table.targets):
        missing = "to" if table.sources else "from"
        yield Problem(path=(missing,), reason="is missing", mend="A one-way route has both from and to")
    elif not one_way and not is_whole and len(table.join) < 2:  # noqa: PLR2004 - two ends
        mend = "List at least two addresses; one is enough only if it is a room on the LAN"
        yield Problem(path=("join",), reason="a route needs two conversations", mend=mend)


def _repeats(table: RouteTable) -> Iterator[Problem]:
    for key, addresses in _lists(table):
        for place, address in enumerate(addresses):
            if address in addresses[:place]:
                yield Problem(path=(key, place), reason=f"{address} is listed twice", mend="Remove one")
    if table.sources == table.targets and len(table.sources) == 1:
        yield Problem(path=("to",), reason="it goes where it comes from", mend="Name another address")


def _limits(table: RouteTable) -> Iterator[Problem]:
    bridges = {address.bridge for address in table.join or table.targets}
    for key, limits in (("expires", table.expires), ("digest_after", table.digest_after)):
        for bridge in limits:
            if bridges and bridge not in bridges:
                mend = f"Bridges it goes to: {', '.join(sorted(bridges))}"
                yield Problem(path=(key, bridge), reason="this route doesn't go there", mend=mend)


def check_listen(api: ApiSettings, problems: list[Problem]) -> None:
    """Whoever isn't on this box needs a token."""
    if api.token_file is None and not units.is_loopback(api.host):
        problems.append(
            Problem(
                path=("api", "listen"),
                reason=f"{api.listen} can be reached from other machines, and there is no token",
                mend='Add token_file = "..." (crossband token makes one), or listen on 127.0.0.1',
            )
        )


def check_queue(queue: QueueSettings, problems: list[Problem]) -> None:
    """A password is in one place."""
    if queue.password_file is None or queue.url == "embedded":
        return
    if redis_url.read(queue.url).password is not None:
        reason = "there is a password in the url already"
        problems.append(Problem(path=("queue", "password_file"), reason=reason, mend="Leave one of them out"))
