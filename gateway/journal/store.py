# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written to the database, one method a kind of write. Works inside the writer's transaction.

Knows no threads. After a rollback `reload` must be called: some of the state is kept here as well.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.journal.incoming import Incoming
from gateway.journal.records import Accepted, Change, Seen
from gateway.journal.rows import (
    ALSO,
    ID,
    LINE,
    PLACE_BITS,
    PLACES,
    WITHOUT_BODY,
    NewDelivery,
    NewMessage,
    Row,
    clean,
    line,
)
from gateway.journal.statements import SIZES, many, packed, write
from gateway.model import Address, BridgeName, DeliveryId, JournalError, ResumePoint, State

THERE_ALREADY: Final = "already there"
MOST_KNOWN_ADDRESSES: Final = 4096

_ADD_COUNTERPART = "INSERT OR REPLACE INTO counterpart (address, remote_id, seq, part) VALUES (?, ?, ?, ?)"
_ADD_ALIASES = """INSERT OR REPLACE INTO alias (id, seq, part)
    SELECT column1, d.no >> 12, d.part FROM {values} CROSS JOIN delivery d ON d.id = column2"""
# A message's own id comes last, and counts.
_KNOWN = """WITH asked AS {values} SELECT id, seq, part FROM alias WHERE id IN asked
    UNION ALL SELECT id, seq, 0 FROM message WHERE id IN asked"""
_SET_META = "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)"

# Made is what is the last line of history now. Of the very same change twice, in one millisecond, both are.
_APPLIED = """FROM json_each(?) j CROSS JOIN delivery d ON d.id = json_extract(j.value, '$[0]')
    WHERE substr(d.history, -length(json_extract(j.value, '$[1]'))) = json_extract(j.value, '$[1]')"""
_CANCEL_COPY = """UPDATE delivery SET state = 'cancelled', changed_ms = ?, history = history || ?, opening = ?,
    body = NULL WHERE no BETWEEN ? AND ? AND address = ? AND part BETWEEN ? AND ?
    AND state IN ('waiting', 'queued') AND digest IS NULL RETURNING id"""
# What carries a digest says more than the copy did.


Applied = frozenset[tuple[str, str]]
"""Changes that were made: the delivery's id and the line of history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A message that came in and was there already."""

    seq: int
    part: int
    """0: the message itself came once more; else it is this part of it, as we sent it."""


class Store:
    """The writing side of one open database."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.source = ""
        self.head = 0
        self.rows = 0
        self.opening = 0
        self.pruned_ms = 0
        self._addresses: dict[Address, int] = {}
        self._eras: dict[int, int] = {}
        """How often the clock had been set → the first sequence of then."""
        self._incoming = Incoming(connection)

    def reload(self) -> None:
        """Read back what is kept here of the database's state."""
        self._incoming.clear()
        meta: dict[str, Any] = dict(self.connection.execute("SELECT name, value FROM meta"))
        self.source, self.opening, self.pruned_ms = meta["source"], meta["opening"], meta["pruned_ms"]
        self.rows, last = self.connection.execute("SELECT count(*), max(seq) FROM message").fetchone()
        self.head = max(meta["head"], last or 0)
        self._addresses.clear()

    def set_meta(self, name: str, value: str | int) -> None:
        """Store one of `meta`."""
        self.connection.execute(_SET_META, (name, value))

    def renew_source(self) -> str:
        """Take a new name in the queue."""
        self.source = uuid.uuid4().hex
        self.set_meta("source", self.source)
        return self.source

    def accept(self, messages: Sequence[NewMessage], full: str) -> list[Accepted | JournalError | Known]:
        """Add messages; answer each in its place; of known ones only say what they are. `write` writes them.

        `full`: why none may be added; empty if they may.
        """
        known = self._known(messages)
        answers: list[Accepted | JournalError | Known] = []
        for new in messages:
            found = known.get(new.id)
            if found is None and full:
                answers.append(JournalError(full))
                continue
            if found is None:
                known[new.id] = Known(seq=self.head + 1, part=0)
            answers.append(found or self._add(new))
        return answers

    def write_at_once(self, messages: Sequence[NewMessage], changes: Sequence[Row]) -> list[Accepted] | None:
        """Write what all is new, and then changes, as one statement and transaction; answer each message.

        None: nothing was written, as one of them is known already or came twice, or it takes more than that.
        Outside of a transaction.
        """
        rows = len(changes) + sum(2 + len(new.deliveries) for new in messages)
        if rows > SIZES[-1] or any(row[ALSO] is not None for row in changes):
            return None
        if not all(map(self._has_numbers, messages)):
            return None
        before = self.head, self.rows, dict(self._eras)
        answers = [self._add(new) for new in messages]
        self.change(changes)
        if self._incoming.write_at_once():
            return answers
        self.head, self.rows, self._eras = before
        return None

    def _has_numbers(self, new: NewMessage) -> bool:
        """Whether every address in it has one already."""
        return new.origin in self._addresses and all(one.to in self._addresses for one in new.deliveries)

    def last_before(self, era: int) -> int:
        """Return the last sequence from before the clock was set so often."""
        self._eras = {of: first for of, first in self._eras.items() if of >= era}  # earlier ones are asked for before
        return min((first - 1 for first in self._eras.values()), default=self.head)

    def _known(self, messages: Sequence[NewMessage]) -> dict[str, Known]:
        ids = [(new.id,) for new in messages]
        rows = (row for cursor in many(self.connection, _KNOWN, ids) for row in cursor)
        return {ident: Known(seq=seq, part=part) for ident, seq, part in rows}

    def _add(self, new: NewMessage) -> Accepted:
        self.head += 1
        self.rows += 1
        self._eras.setdefault(new.era, self.head)
        remote_id = None if new.remote_id is None else clean(new.remote_id)
        self._incoming.message((self.head, new.id, self.number(new.origin), new.received_ms, new.envelope, remote_id))
        for no, one in enumerate(new.deliveries, self.head << PLACE_BITS):
            self._incoming.delivery(self._delivery(no, self.head, one))
        if new.resume is not None:
            self._incoming.resume(new.origin.bridge, clean(new.resume))
        return Accepted(seq=self.head)

    def _delivery(self, no: int, seq: int, new: NewDelivery) -> Row:
        return (
            no,
            new.id,
            seq,
            new.to.bridge,
            self.number(new.to),
            new.part,
            new.parts,
            new.expires_ms,
            new.state.value,
            new.at_ms,
            self.opening,
            new.line,
            new.body,
        )

    def number(self, address: Address) -> int:
        """Return an address's number, giving it one if it is new."""
        if (no := self._addresses.get(address)) is not None:
            return no
        names = (clean(address.bridge), clean(address.conversation))
        self.connection.execute(
            "INSERT INTO address (bridge, conversation) VALUES (?, ?) ON CONFLICT DO NOTHING", names
        )
        (found,) = self.connection.execute(
            "SELECT no FROM address WHERE bridge = ? AND conversation = ?", names
        ).fetchone()
        if len(self._addresses) >= MOST_KNOWN_ADDRESSES:
            self._addresses.clear()
        self._addresses[address] = int(found)
        return int(found)

    def seen(self, new: NewMessage, known: Known) -> Seen:
        """Note where else a known message, or a part of it, came from; what was still to go there is there already."""
        seq = known.seq
        if new.resume is not None:
            self.set_resume({new.origin.bridge: new.resume})
        here = self.number(new.origin)
        if new.remote_id is not None:
            self.connection.execute(_ADD_COUNTERPART, (here, clean(new.remote_id), seq, known.part))
        (first,) = self.connection.execute("SELECT origin FROM message WHERE seq = ?", (seq,)).fetchone()
        if first == here:
            return Seen(seq=seq, origin=new.origin)
        words = line(new.at_ms, State.CANCELLED, THERE_ALREADY)
        low = seq << PLACE_BITS
        parts = (known.part, known.part) if known.part else (0, PLACES)
        rows = self.connection.execute(
            _CANCEL_COPY, (new.at_ms, words, self.opening, low, low + PLACES - 1, here, *parts)
        ).fetchall()
        return Seen(seq=seq, origin=new.origin, cancelled=tuple(DeliveryId(ident) for (ident,) in rows))

    def change(self, rows: Sequence[Row]) -> None:
        """Move deliveries; of several changes to one, each after the other. `write` writes them."""
        for row in rows:
            self._incoming.change(row, self.opening)

    def change_and_tell(self, rows: Sequence[Row]) -> Applied:
        """Move deliveries at once, and return which changes were made."""
        applied: set[tuple[str, str]] = set()
        for some in _rounds(rows):
            self.change(some)
            self.write()
            changes = [(row[ID], row[LINE]) for row in some]
            found = packed(self.connection, ("j.key",), _APPLIED, (json.dumps(changes),))
            applied.update(changes[nth] for (nth,) in found)
        return frozenset(applied)

    def write(self) -> None:
        """Write what was accepted and changed since the last time."""
        self._incoming.write()

    def move(self, no: int, change: Change) -> Change:
        """Move one delivery by its number, whatever state it is in; return the change."""
        self.connection.execute(
            "UPDATE delivery SET state = ?, changed_ms = ?, opening = ?, history = history || ?,"
            " body = iif(?, NULL, body) WHERE no = ?",
            (
                change.state.value,
                change.at_ms,
                self.opening,
                line(change.at_ms, change.state, change.reason),
                change.state in WITHOUT_BODY,
                no,
            ),
        )
        return change

    def alias(self, rows: Sequence[Row]) -> None:
        """Store what changes call messages besides; before `accept`, which asks for it."""
        write(self.connection, _ADD_ALIASES, [(row[ALSO], row[ID]) for row in rows if row[ALSO] is not None])

    def set_resume(self, points: dict[BridgeName, ResumePoint]) -> None:
        """Store where sources go on."""
        for bridge, point in points.items():
            self._incoming.resume(bridge, clean(point))
        self.write()

    def next_seq(self) -> int:
        """Give out a sequence that no message has."""
        self.head += 1
        self.set_meta("head", self.head)
        return self.head

    def add_later(self, no: int, new: NewDelivery) -> None:
        """Add a delivery to a message that is there, for the drain to find under the last sequence given out."""
        self._incoming.delivery(self._delivery(no, self.head, new))
        self.write()


def applied_of(rows: Sequence[Row], applied: Applied) -> tuple[DeliveryId, ...]:
    """Return the deliveries of those changes that were made."""
    return tuple(DeliveryId(row[ID]) for row in rows if (row[ID], row[LINE]) in applied)


def _rounds(rows: Sequence[Row]) -> Iterable[Sequence[Row]]:
    """Split changes so that none has a delivery twice: what was made of each can be seen after its round."""
    if len({row[0] for row in rows}) == len(rows):
        return (rows,)
    rounds: list[list[Row]] = []
    times: dict[str, int] = {}
    for row in rows:
        nth = times.get(row[0], 0)
        times[row[0]] = nth + 1
        if nth == len(rounds):
            rounds.append([])
        rounds[nth].append(row)
    return rounds
