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
from gateway.model import Address, BridgeName, DeliveryId, JournalError, MessageId, ResumePoint, State

THERE_ALREADY: Final = "already there"
MOST_KNOWN_ADDRESSES: Final = 4096

_ADD_MESSAGES = """INSERT INTO message (seq, id, origin, received_ms, envelope)
    SELECT * FROM {values} WHERE column1 IS NOT NULL"""
_ADD_COUNTERPARTS = """INSERT OR REPLACE INTO counterpart (address, remote_id, seq, part)
    SELECT * FROM {values} WHERE column1 IS NOT NULL"""
_ADD_DELIVERIES = """INSERT INTO delivery
    (no, id, seq, bridge, address, part, parts, expires_ms, state, changed_ms, opening, history, body)
    SELECT * FROM {values} WHERE column1 IS NOT NULL ON CONFLICT (id) DO NOTHING"""
_ADD_ALIASES = """INSERT OR REPLACE INTO alias (id, seq, part)
    SELECT column1, d.no >> 12, d.part FROM {values} CROSS JOIN delivery d ON d.id = column2"""
# A message's own id comes last, and counts.
_KNOWN = """WITH asked AS {values} SELECT id, seq, part FROM alias WHERE id IN asked
    UNION ALL SELECT id, seq, 0 FROM message WHERE id IN asked"""
_SET_RESUME = """INSERT OR REPLACE INTO resume (bridge, point)
    SELECT * FROM {values} WHERE column1 IS NOT NULL"""
_SET_META = "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)"

_BACK = "delivery.state IN ('heard', 'delivered') AND c.state IN ('sent', 'heard') AND NOT c.afresh"
_BEFORE = "iif(instr(c.before_from, ',' || delivery.state || ','), c.before, '') || c.line"
_LONGER = f"""CASE WHEN length(history) < 4096 THEN history
    ELSE substr(history, 1, instr(history, char(10)))
        || substr(history, 2048 + instr(substr(history, 2048), char(10))) END
    || iif(c.before IS NULL, c.line, {_BEFORE})"""
_CHANGE = f"""WITH c (id, state, at_ms, remote_id, generation, ends, line, only_from, also, before, before_from, afresh)
    AS {{values}}
    UPDATE delivery SET
        state = iif({_BACK}, delivery.state, c.state),
        changed_ms = iif({_BACK}, delivery.changed_ms, c.at_ms),
        history = iif({_BACK}, history, {_LONGER}),
        body = iif(c.ends, NULL, body),
        remote_id = coalesce(c.remote_id, delivery.remote_id),
        generation = coalesce(c.generation, delivery.generation),
        opening = {{opening}}
    FROM c WHERE delivery.id = c.id AND (c.only_from IS NULL
        OR instr(c.only_from, ',' || delivery.state || ','))"""  # noqa: S608
# Made is what is the last line of history now. Of the very same change twice, in one millisecond, both are.
_APPLIED = """FROM json_each(?) j CROSS JOIN delivery d ON d.id = json_extract(j.value, '$[0]')
    WHERE substr(d.history, -length(json_extract(j.value, '$[1]'))) = json_extract(j.value, '$[1]')"""
_CANCEL_COPY = """UPDATE delivery SET state = 'cancelled', changed_ms = ?, history = history || ?, opening = ?,
    body = NULL WHERE no BETWEEN ? AND ? AND address = ? AND part BETWEEN ? AND ?
    AND state IN ('waiting', 'queued') AND digest IS NULL RETURNING id"""
# What carries a digest says more than the copy did.
_AGAIN = """UPDATE delivery SET seq = ?, part = ?, parts = ?, expires_ms = ?, state = ?, changed_ms = ?, opening = ?,
    history = history || ?, body = ?, generation = generation + 1 WHERE id = ?"""
# The network may remember the key it refused: what is sent again by hand goes under a fresh one.


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

    def reload(self) -> None:
        """Read back what is kept here of the database's state."""
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
        """Add messages; answer each in its place; of known ones, say what they are.

        `full`: why none may be added; empty if they may.
        """
        known = self._known(messages)
        answers: list[Accepted | JournalError | Known] = []
        fresh: list[tuple[int, NewMessage]] = []
        resume: dict[BridgeName, ResumePoint] = {}
        for new in messages:
            found = known.get(new.id)
            if found is None and full:
                answers.append(JournalError(full))
                continue
            if found is None:
                self.head += 1
                known[new.id] = Known(seq=self.head, part=0)
                self._eras.setdefault(new.era, self.head)
                fresh.append((self.head, new))
            answers.append(found or Accepted(seq=self.head))
            if new.resume is not None:
                resume[new.origin.bridge] = new.resume
        self._add(fresh)
        self.set_resume(resume)
        return answers

    def last_before(self, era: int) -> int:
        """Return the last sequence from before the clock was set so often."""
        self._eras = {of: first for of, first in self._eras.items() if of >= era}  # earlier ones are asked for before
        return min((first - 1 for first in self._eras.values()), default=self.head)

    def _known(self, messages: Sequence[NewMessage]) -> dict[str, Known]:
        ids = [(new.id,) for new in messages]
        rows = (row for cursor in many(self.connection, _KNOWN, ids) for row in cursor)
        return {ident: Known(seq=seq, part=part) for ident, seq, part in rows}

    def _add(self, fresh: Sequence[tuple[int, NewMessage]]) -> None:
        if not fresh:
            return
        messages: list[Row] = []
        counterparts: list[Row] = []
        deliveries: list[Row] = []
        for seq, new in fresh:
            origin = self.number(new.origin)
            messages.append((seq, new.id, origin, new.received_ms, new.envelope))
            if new.remote_id is not None:
                counterparts.append((origin, clean(new.remote_id), seq, 0))
            first = seq << PLACE_BITS
            deliveries += [self._delivery(first + place, seq, one) for place, one in enumerate(new.deliveries)]
        write(self.connection, _ADD_MESSAGES, messages)
        write(self.connection, _ADD_COUNTERPARTS, counterparts)
        write(self.connection, _ADD_DELIVERIES, deliveries)
        self.rows += len(fresh)

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
        here = self.number(new.origin)
        if new.remote_id is not None:
            write(self.connection, _ADD_COUNTERPARTS, [(here, clean(new.remote_id), seq, known.part)])
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

    def change(self, rows: Sequence[Row], *, tell: bool = False) -> Applied:
        """Move deliveries; of several changes to one, each after the other. `tell`: return which were made."""
        applied: set[tuple[str, str]] = set()
        for some in _rounds(rows):
            write(self.connection, _CHANGE.replace("{opening}", str(self.opening)), some)
            if tell and some:
                changes = [(row[ID], row[LINE]) for row in some]
                found = packed(self.connection, ("j.key",), _APPLIED, (json.dumps(changes),))
                applied.update(changes[nth] for (nth,) in found)
        return frozenset(applied)

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
        write(self.connection, _SET_RESUME, [(bridge, clean(point)) for bridge, point in points.items()])

    def again(self, news: Sequence[tuple[MessageId, NewDelivery]]) -> None:
        """Let the drain find deliveries once more, as if they came in now."""
        self.head += 1
        self.set_meta("head", self.head)
        for message, new in news:
            fields = (new.part, new.parts, new.expires_ms, new.state.value, new.at_ms, self.opening, new.line, new.body)
            if not self.connection.execute(_AGAIN, (self.head, *fields, new.id)).rowcount:
                self._add_later(message, new)

    def _add_later(self, message: MessageId, new: NewDelivery) -> None:
        """Add a delivery that its message didn't have: it was fitted into more parts this time."""
        found = self.connection.execute(
            "SELECT m.seq, max(d.no) FROM message m LEFT JOIN delivery d"
            " ON d.no BETWEEN m.seq << 12 AND (m.seq << 12) + 4095 WHERE m.id = ? GROUP BY m.seq",
            (message,),
        ).fetchone()
        if found is None:
            return
        seq, last = found
        no = seq << PLACE_BITS if last is None else last + 1
        if no >> PLACE_BITS == seq:
            write(self.connection, _ADD_DELIVERIES, [self._delivery(no, self.head, new)])


def is_one_statement(rows: Sequence[Row]) -> bool:
    """Whether `change` takes them in one step, which is a transaction by itself, and nothing else need be done."""
    return (
        len(rows) <= SIZES[-1]
        and len({row[ID] for row in rows}) == len(rows)
        and all(row[ALSO] is None for row in rows)
    )


def applied_of(rows: Sequence[Row], applied: Applied) -> tuple[DeliveryId, ...]:
    """Return the deliveries of those changes that were made."""
    return tuple(DeliveryId(row[ID]) for row in rows if (row[ID], row[LINE]) in applied)


def _rounds(rows: Sequence[Row]) -> Iterable[Sequence[Row]]:
    """Split changes so that none has a delivery twice: one UPDATE applies one of several, any."""
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
