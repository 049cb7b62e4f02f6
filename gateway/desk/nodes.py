# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is out there, as it is told in chats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.desk.visit import Visit
from gateway.desk.words import ago, answer
from gateway.model import Declined
from gateway.nodes import Hearing, Known, called, found, merged, shown_place

MOST_NODES: Final = 20
_EXACTLY: Final = "exact"


async def nodes(visit: Visit) -> str:
    """Say who was heard, the latest first; with a word only those with it in a name or the id, and of one all."""
    words, exactly = _asked(visit)
    known = found(merged(visit.running.nodes()), words)
    if not known:
        return f"nobody with {words!r} in name or id is known" if words else "nobody is known yet"
    if words and (one := _the_one(known, words)) is not None:
        return answer(list(_in_full(one, visit.now_ms, exactly=exactly)))
    lines = [_in_short(one, visit.now_ms) for one in known[:MOST_NODES]]
    return answer(lines, left_out=len(known) - len(lines))


def _asked(visit: Visit) -> tuple[str, bool]:
    exactly = len(visit.rest) > 1 and visit.rest[-1].casefold() == _EXACTLY
    if exactly and not visit.sees_texts:
        raise Declined("where somebody is exactly is told to admins, in private")
    return " ".join(visit.rest[:-1] if exactly else visit.rest), exactly


def _the_one(known: list[Known], words: str) -> Known | None:
    """Return the only one that may be meant. Who is called so now is not taken for who was."""
    named = [one for one in known if one.node.id == words.casefold()]
    if not named:
        now, before = called(words, (one.node for one in known))
        named = [one for one in known if one.node.id in now | before] or known
    return named[0] if len(named) == 1 else None


def _in_short(one: Known, now_ms: int) -> str:
    node = one.node
    others = ", ".join(by.bridge for by in one.heard_by[1:])
    told = ", ".join(filter(None, (_heard(one.heard_by[0], now_ms), f"also on {others}" if others else "")))
    return f"{node.name or node.short_name or 'unnamed'} ({node.id}) on {one.bridge}: {told}"


def _in_full(one: Known, now_ms: int, *, exactly: bool) -> Iterator[str]:
    node = one.node
    yield f"{node.name or 'unnamed'} ({node.id})" + (f", {node.short_name}" if node.short_name else "")
    if node.former_names:
        yield f"formerly {', '.join(node.former_names)}"
    if node.hardware or node.role:
        yield f"it is {', '.join(filter(None, (node.hardware, node.role)))}"
    for by in one.heard_by:
        yield f"on {by.bridge}: {_heard(by, now_ms)}"
    if node.battery_percent is not None:
        yield f"battery {node.battery_percent} %"
    if node.has_key is not None:
        yield "its public key is known" if node.has_key else "its public key is not known: ask again when it was heard"
    if (place := shown_place(node, exactly=exactly)) is not None:
        yield f"{place}" + ("" if node.placed_ms is None else f", told {ago(node.placed_ms, now_ms)}")


def _heard(by: Hearing, now_ms: int) -> str:
    facts = (
        f"heard {ago(by.last_heard_ms, now_ms)}" if by.last_heard_ms is not None else "not heard",
        "" if by.snr_db is None else f"SNR {by.snr_db:g} dB",
        "" if by.rssi_dbm is None else f"RSSI {by.rssi_dbm} dBm",
        "" if by.hops is None else f"{by.hops} hop{'' if by.hops == 1 else 's'}",
        "over the internet" if by.via_mqtt else "",
    )
    return ", ".join(filter(None, facts))
