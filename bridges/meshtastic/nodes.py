# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is out there, as our node's database and the packets we see tell it: the directory in memory. Does no I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from heapq import nsmallest
from itertools import islice

from meshtastic.protobuf.mesh_pb2 import MeshPacket, NodeInfo

from bridges.meshtastic.entries import Entry, dumped, loaded, of_this_time
from bridges.meshtastic.introductions import heard_on_air, said_on_air, told_by_radio
from bridges.meshtastic.places import BROADCAST, node_id
from bridges.meshtastic.timeline import Timeline
from gateway.model import NEVER_SET_MS, Clock, Node, likeness

MOST_NODES = 3000
"""About 1.3 kB of memory each; past it 2 % are forgotten."""
RECENTLY_S = 30 * 86_400.0
"""So long somebody counts as spoken with, and a name as somebody's: a board that was replaced has its name no more."""
_AT_ONCE = 50
_MOST_RIVALS = 16
"""Of one name, so many are looked at: a flood of them makes no packet dear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What has to be kept: entries by number, and numbers of those forgotten."""

    entries: Mapping[int, str] = field(default_factory=dict)
    forgotten: Collection[int] = ()
    fresh: Collection[int] = ()
    """Of the entries, those that were never kept before."""

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.entries or self.forgotten)


class NodeBook:
    """The nodes heard of, at most `limit`.

    Past it those give way first that we heard only over the internet, then those silent for longest; a favourite of
    the radio's owner, and whoever was written to in the last 30 days, only where there is nobody else.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        limit: int = MOST_NODES,
        keeps_places: bool = False,
        count: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._timeline = Timeline(clock)
        self._limit = limit
        self._keeps_places = keeps_places
        self._count = count
        self._entries: dict[int, Entry] = {}
        self._alike: dict[str, set[int]] = {}
        self._changed: set[int] = set()
        self._forgotten: set[int] = set()
        self._written: set[int] = set()
        """Those that were given out to be kept: of others nothing is to be deleted."""

    def name(self, number: int) -> str:
        """Return a node's long name, or its ``!hex`` while that isn't known.

        Where others heard lately have one that looks the same, digits of its number are behind it: ``Kim/c301``.
        """
        entry = self._entries.get(number)
        if entry is None or not entry.name:
            return node_id(number)
        alike = self._alike.get(likeness(entry.name), ())
        rivals = list(islice((one for one in alike if one != number and self._is_recent(one)), _MOST_RIVALS))
        if not rivals:
            return entry.name
        digits = 8 if len(rivals) == _MOST_RIVALS or any((one ^ number) & 0xFFFF == 0 for one in rivals) else 4
        return f"{entry.name}/{node_id(number)[-digits:]}"

    def channel(self, number: int) -> int:
        """Return the channel that a node was last heard on, the first while that isn't known."""
        entry = self._entries.get(number)
        return entry.channel if entry else 0

    def has_key(self, number: int) -> bool:
        """Whether a node's public key is known: by our radio, as it said last, or heard on air since.

        A radio may have forgotten a key that this box remembers: what it answers to a message counts.
        """
        return bool(self.key(number))

    def key(self, number: int) -> bytes:
        """Return a node's public key, 32 bytes; empty while that isn't known."""
        entry = self._entries.get(number)
        return entry.public_key if entry else b""

    def node(self, number: int) -> Node | None:
        """Return what is known of a node; None if it was never heard of."""
        entry = self._entries.get(number)
        return entry.to_node(self._timeline) if entry else None

    def heard_ms(self, number: int) -> int | None:
        """Return when a node was last heard, by the clock on the wall; None if it never was."""
        node = self.node(number)
        return node.last_heard_ms if node else None

    def listed(self) -> tuple[Node, ...]:
        """Return all nodes, most recently heard first."""
        order = self._timeline.order
        entries = sorted(self._entries.values(), key=lambda entry: order(entry.heard), reverse=True)
        return tuple(entry.to_node(self._timeline) for entry in entries)

    def learn(self, info: NodeInfo) -> None:
        """Take an entry of our node's database."""
        if _is_node(info.num):
            self._keep(told_by_radio(self._of(info.num), info, self._timeline, keeps_places=self._keeps_places))

    def hear(self, packet: MeshPacket) -> None:
        """Note who sent a packet and what it says of them."""
        number = int(getattr(packet, "from"))
        if _is_node(number):
            entry = heard_on_air(self._of(number), packet, self._timeline)
            places = self._keeps_places
            self._keep(said_on_air(entry, packet, self._timeline, keeps_places=places, count=self._count))

    def spoke(self, number: int) -> None:
        """Note that somebody's words went to this node alone."""
        if _is_node(number):
            self._keep(replace(self._of(number), spoken=self._timeline.now()))

    # What is kept.

    def recall(self, kept: Iterable[tuple[int, str]]) -> None:
        """Take what was kept of earlier runs; of a node already heard of in this one, nothing."""
        kept = list(kept)
        self._written.update(number for number, _ in kept)
        read = [(number, loaded(number, words, self._timeline)) for number, words in kept]
        for number, entry in read:
            if entry is None:
                self._count("node_unreadable")
                self._forgotten.add(number)
            elif number not in self._entries:
                self._recall(entry)
        now_ms = self._clock.now_ms()
        if now_ms >= NEVER_SET_MS:
            for entry in of_this_time(list(self._entries.values()), now_ms):
                self._keep(entry)

    def changes(self) -> Changes:
        """Return what has changed since this was last asked."""
        changed, self._changed = self._changed, set()
        forgotten, self._forgotten = self._forgotten, set()
        entries = {number: dumped(self._entries[number], self._timeline) for number in changed}
        fresh = changed - self._written
        self._written = (self._written | changed) - forgotten
        return Changes(entries=entries, forgotten=forgotten, fresh=fresh)

    def not_kept(self, changes: Changes) -> None:
        """Take changes back that could not be kept: they are among the next."""
        self._written = (self._written | set(changes.forgotten)) - set(changes.fresh)
        self._changed.update(number for number in changes.entries if number in self._entries)
        self._forgotten.update(number for number in changes.forgotten if number not in self._entries)

    def keep_all(self) -> None:
        """Have every entry among the next changes: what was kept is gone."""
        self._changed.update(self._entries)

    def _recall(self, entry: Entry) -> None:
        if self._keeps_places or entry.place is None:
            self._put(entry)
        else:
            self._keep(replace(entry, place=None, placed=None))
        self._make_room(entry.number)

    def _of(self, number: int) -> Entry:
        return self._entries.get(number) or Entry(number=number)

    def _keep(self, entry: Entry) -> None:
        self._put(entry)
        self._changed.add(entry.number)
        self._forgotten.discard(entry.number)
        self._make_room(entry.number)

    def _put(self, entry: Entry) -> None:
        before = self._entries.get(entry.number)
        self._entries[entry.number] = entry
        if before is None or before.name != entry.name:
            self._unname(before)
            if look := likeness(entry.name):
                self._alike.setdefault(look, set()).add(entry.number)

    def _unname(self, entry: Entry | None) -> None:
        look = likeness(entry.name) if entry else ""
        if entry and look in self._alike:
            self._alike[look].discard(entry.number)
            if not self._alike[look]:
                del self._alike[look]

    def _make_room(self, newest: int) -> None:
        if len(self._entries) <= self._limit:
            return
        others = (one for one in self._entries.values() if one.number != newest)
        # Some at once: a flood of new ones would look through all for each.
        for goes in nsmallest(1 + self._limit // _AT_ONCE, others, key=self._worth):
            self._unname(self._entries.pop(goes.number))
            self._changed.discard(goes.number)
            if goes.number in self._written:
                self._forgotten.add(goes.number)
            self._count("node_forgotten")

    def _worth(self, entry: Entry) -> tuple[bool, bool, tuple[int, int]]:
        spoken = entry.spoken is not None and self._timeline.age_s(entry.spoken) < RECENTLY_S
        return entry.is_favourite or spoken, not entry.via_mqtt, self._timeline.order(entry.heard)

    def _is_recent(self, number: int) -> bool:
        heard = self._entries[number].heard
        return heard is not None and self._timeline.age_s(heard) < RECENTLY_S


def _is_node(number: int) -> bool:
    return number not in (0, BROADCAST)
