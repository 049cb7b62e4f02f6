# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is out there, put together from all bridges: a node that several hear is one, with who heard it how. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from gateway.model import BridgeName, Location, Node, SenderId, coarse

MOST_FORMER_NAMES: Final = 8
_BARS: Final = "▁▂▄▆█"
_BAR_FROM_DB: Final = (-15.0, -10.0, -5.0, 0.0)
"""From each of these SNRs on a bar more: LongFast is understood down to -17.5 dB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """How one bridge heard a node last."""

    bridge: BridgeName
    last_heard_ms: int | None
    snr_db: float | None
    rssi_dbm: int | None
    hops: int | None
    via_mqtt: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A node as the bridge knows it that heard it last: by that one it is reached."""

    node: Node
    bridge: BridgeName
    heard_by: tuple[Hearing, ...]
    """All bridges that know it, the one that heard it last first."""


class Order(StrEnum):
    """By what a list of nodes is put in order."""

    HEARD = "heard"
    """The latest first."""
    NAME = "name"
    SIGNAL = "signal"
    """The strongest first; the relayed ones, whose signal is their relay's, behind them."""
    BATTERY = "battery"
    """The emptiest first."""


def merged(nodes: Iterable[tuple[BridgeName, Node]]) -> list[Known]:
    """Return every node once, the latest heard first."""
    by_id: dict[SenderId, list[tuple[BridgeName, Node]]] = {}
    for bridge, node in nodes:
        by_id.setdefault(node.id, []).append((bridge, node))
    # A bridge lists in order also those whose time it can't tell: a stable sort leaves them so.
    return sorted(map(_one, by_id.values()), key=_latest_first)


def in_order(known: Iterable[Known], order: Order) -> list[Known]:
    """Return them in this order; of equals the latest heard first, and those of which it isn't known last."""
    keys: dict[Order, Callable[[Known], tuple[bool | float | str, ...]]] = {
        Order.HEARD: _latest_first,
        Order.NAME: lambda one: (one.node.name.casefold(),),
        Order.SIGNAL: _strongest_first,
        Order.BATTERY: lambda one: (one.node.battery_percent is None, one.node.battery_percent or 0),
    }
    return sorted(sorted(known, key=_latest_first), key=keys[order])


def found(known: Iterable[Known], words: str) -> list[Known]:
    """Return those with these words in their id or a name, former ones too, in the order they had."""
    sought = " ".join(words.split()).casefold()
    return [one for one in known if sought in _searched(one.node)]


def called(words: str, nodes: Iterable[Node]) -> tuple[frozenset[SenderId], frozenset[SenderId]]:
    """Return the ids of those whom somebody may mean by a name: who is called so now, and who was.

    A name with digits of the id behind it, ``Kim/c301``, as bridges tell two of one name apart, is one's alone.
    """
    sought = " ".join(words.split()).casefold()
    now, before = set(), set()
    for node in nodes if sought else ():
        if sought in {node.short_name.casefold(), *_spellings(node)}:
            now.add(node.id)
        elif sought in map(str.casefold, node.former_names):
            before.add(node.id)
    return frozenset(now), frozenset(before)


def shown_place(node: Node, *, exactly: bool) -> Location | None:
    """Return where a node said it is: coarsely, unless somebody who may know asked for more."""
    return node.place if node.place is None or exactly else coarse(node.place)


def bars(snr_db: float | None) -> str:
    """Return a signal as a picture of one character; empty if there is none to speak of."""
    return "" if snr_db is None else _BARS[sum(snr_db >= limit for limit in _BAR_FROM_DB)]


def _one(heard: Sequence[tuple[BridgeName, Node]]) -> Known:
    in_turn = sorted(heard, key=lambda one: -(one[1].last_heard_ms or 0))
    bridge, node = in_turn[0]
    names = dict.fromkeys(name for _, each in in_turn for name in each.former_names)
    former = [name for name in names if name not in {node.name, node.short_name}]
    placed = max((each for _, each in in_turn if each.place), key=lambda each: each.placed_ms or 0, default=node)
    return Known(
        node=replace(
            node,
            former_names=tuple(former[:MOST_FORMER_NAMES]),
            place=placed.place,
            placed_ms=placed.placed_ms,
            battery_percent=next(
                (each.battery_percent for _, each in in_turn if each.battery_percent is not None), None
            ),
        ),
        bridge=bridge,
        heard_by=tuple(_hearing(by, each) for by, each in in_turn),
    )


def _hearing(bridge: BridgeName, node: Node) -> Hearing:
    return Hearing(
        bridge=bridge,
        last_heard_ms=node.last_heard_ms,
        snr_db=node.snr_db,
        rssi_dbm=node.rssi_dbm,
        hops=node.hops,
        via_mqtt=node.via_mqtt,
    )


def _latest_first(one: Known) -> tuple[float]:
    return (-(one.node.last_heard_ms or 0),)


def _strongest_first(one: Known) -> tuple[bool, bool, float]:
    node = one.node
    return node.snr_db is None or bool(node.via_mqtt), bool(node.hops), -(node.snr_db or 0.0)


def _searched(node: Node) -> str:
    return "\n".join((node.id, node.name, node.short_name, *node.former_names)).casefold()


def _spellings(node: Node) -> tuple[str, ...]:
    name = node.name.casefold()
    return name, f"{name}/{node.id[-4:]}", f"{name}/{node.id[-8:]}"
