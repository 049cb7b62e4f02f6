# SPDX-License-Identifier: GPL-3.0-or-later
"""A changed mind in the database: what an edit or a redaction does to what has not left. Inside the transaction."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from gateway.journal import folding
from gateway.journal.backlog import NAMED, TRIED, UNSENT
from gateway.journal.records import Accepted, Amendment, Change, Seen
from gateway.journal.rows import NewMessage
from gateway.journal.store import Store
from gateway.journal.transactions import take_in
from gateway.model import Address, BridgeName, Delivery, DeliveryId, JournalError, State
from gateway.outbox.codec import encode_message

TAKEN_BACK = "taken back by its sender before it was sent"
CHANGED = "changed by its sender before it was sent"
IN_TIME = "what it changes was changed before it was sent"
NOT_SENT = "what it changes was never sent there"

_UNSENT = frozenset({State.WAITING, State.QUEUED})
_OPEN = _UNSENT | {State.FAILED}
"""What can be taken back: a dead letter too must not be sent again."""

_ROWS = f"""SELECT d.no, d.id, a.bridge, a.conversation, d.part, d.state, {TRIED}, d.digest, d.expires_ms,
    {NAMED} FROM delivery d JOIN address a ON a.no = d.address"""  # noqa: S608 - constants
_OF_MESSAGE = f"{_ROWS} WHERE d.no BETWEEN ? << 12 AND (? << 12) + 4095 ORDER BY d.address, d.part"
_OF_EDITS = f"""{_ROWS} WHERE d.no IN (SELECT x.no FROM edit e JOIN delivery x
    ON x.no BETWEEN e.seq << 12 AND (e.seq << 12) + 4095 WHERE e.target = ?)
    AND d.no NOT BETWEEN ? << 12 AND (? << 12) + 4095"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    no: int
    id: DeliveryId
    to: Address
    part: int
    state: State
    is_tried: bool
    digest: int | None
    expires_ms: int | None
    has_name: bool

    @property
    def is_unsent(self) -> bool:
        return self.state in _UNSENT and not self.is_tried

    @property
    def may_be_there(self) -> bool:
        """Whether the far end may have it, or will. One that is over and has a name there was said, if not by us."""
        if self.state in {State.FAILED, State.CANCELLED}:
            return self.has_name
        return self.state not in {State.EXPIRED, State.FOLDED}


def accept(store: Store, new: NewMessage, amendment: Amendment, full: str) -> Accepted | JournalError | Seen:
    """Add an edit or a redaction and do at once what it does."""
    answer = take_in(store, new, full)
    if not isinstance(answer, Accepted):
        return answer
    work = _Amending(store, amendment, own=answer.seq, at_ms=new.at_ms)
    return replace(answer, changes=tuple(work.run()))


class _Amending:
    """One amendment at work."""

    def __init__(self, store: Store, amendment: Amendment, *, own: int, at_ms: int) -> None:
        self._store = store
        self._amendment = amendment
        self._own = own
        self._at_ms = at_ms

    def run(self) -> Iterator[tuple[BridgeName, Change]]:
        own = {
            to: list(rows) for to, rows in groupby(self._rows(_OF_MESSAGE, self._own, self._own), lambda row: row.to)
        }
        self._note()
        target = self._amendment.target
        for to, rows in groupby(self._rows(_OF_MESSAGE, target, target), lambda row: row.to):
            mine = [row for row in own.get(to, ()) if row.state in _UNSENT]
            # A negative digest: its words were taken back before.
            theirs = [row for row in rows if (row.digest or 0) >= 0]
            if to in self._amendment.within:
                yield from self._at(to, theirs, mine)

    def _note(self) -> None:
        """Keep what the message says now, for whoever words it later: a digest, a dead letter sent again."""
        execute = self._store.connection.execute
        if self._amendment.says is not None:
            envelope = encode_message(self._amendment.says).decode()
            execute("UPDATE message SET envelope = ? WHERE seq = ?", (envelope, self._amendment.target))
            execute("INSERT OR REPLACE INTO edit VALUES (?, ?)", (self._own, self._amendment.target))

    def _rows(self, statement: str, *bound: int) -> list[_Row]:
        return [
            _Row(
                no=no,
                id=DeliveryId(ident),
                to=Address(BridgeName(bridge), conversation),
                part=part,
                state=State(state),
                is_tried=bool(is_tried),
                digest=digest,
                expires_ms=expires_ms,
                has_name=bool(has_name),
            )
            for no, ident, bridge, conversation, part, state, is_tried, digest, expires_ms, has_name in (
                self._store.connection.execute(statement, bound)
            )
        ]

    def _at(self, to: Address, rows: list[_Row], own: list[_Row]) -> Iterator[tuple[BridgeName, Change]]:
        digest = next((row.digest for row in rows if row.digest is not None), None)
        if digest is not None:
            done = self._in_digest(digest, rows)
        elif self._amendment.says is None:
            done = self._take_back(to, rows, spare_tried=bool(own))
        else:
            done = self._revise(self._amendment.fitted.get(to, ()), rows)
        yield from ((to.bridge, change) for change in done)
        over = {change.id for change in done}
        if done and (digest is not None or all(row.id in over or not row.may_be_there for row in rows)):
            yield from self._end(own, IN_TIME)
        elif digest is None and not any(self._is_news_of(row) for row in rows):
            yield from self._end(own, NOT_SENT)

    def _is_news_of(self, row: _Row) -> bool:
        """Whether anybody there can make something of this change. New words for what grew too old are words."""
        return row.may_be_there or (row.state is State.EXPIRED and self._amendment.says is not None)

    def _end(self, own: Sequence[_Row], reason: str) -> Iterator[tuple[BridgeName, Change]]:
        for row in own:
            yield row.to.bridge, self._cancel(row, reason)

    def _cancel(self, row: _Row, reason: str) -> Change:
        return self._store.move(row.no, Change(id=row.id, state=State.CANCELLED, reason=reason, at_ms=self._at_ms))

    def _take_back(self, to: Address, rows: Sequence[_Row], *, spare_tried: bool) -> list[Change]:
        """Cancel what has not left. What may have is left to the redaction, if there is one to be sent there."""
        target = self._amendment.target
        edits = [row for row in self._rows(_OF_EDITS, target, self._own, self._own) if row.to == to]
        return [
            self._cancel(row, TAKEN_BACK)
            for row in (*rows, *edits)
            if row.state in _OPEN and not (spare_tried and (row.is_tried if row.state in _UNSENT else row.has_name))
        ]

    def _revise(self, fitted: Sequence[Delivery], rows: Sequence[_Row]) -> list[Change]:
        """Give the parts their new words, if all of them are still here and they are enough; cancel those left over."""
        here = [row for row in rows if row.is_unsent]
        rest_is_gone = all(row.state is State.CANCELLED for row in rows if not row.is_unsent)
        is_whole = [row.part for row in here] == list(range(1, len(here) + 1))
        if not fitted or not rest_is_gone or not is_whole or len(fitted) > len(here):
            return []
        changes = []
        for row, delivery in zip(here, fitted, strict=False):
            change = Change(id=row.id, state=row.state, reason=CHANGED, at_ms=self._at_ms)
            folding.revise(self._store, row.no, replace(delivery, expires_ms=row.expires_ms), change)
            changes.append(change)
        return changes + [self._cancel(row, CHANGED) for row in here[len(fitted) :]]

    def _in_digest(self, digest: int, rows: Sequence[_Row]) -> list[Change]:
        """Word the digest anew that names it, if that has not left, or is a dead letter that may be sent again."""
        open_ = f"({UNSENT} OR d.state = 'failed')"
        carrier = self._store.connection.execute(f"{_ROWS} WHERE d.no = ? AND {open_}", (digest,)).fetchone()
        if carrier is None:
            return []
        changes = []
        if self._amendment.says is None:
            changes = [self._cancel(row, TAKEN_BACK) for row in rows if row.no != digest and row.digest is not None]
            mine = json.dumps([row.no for row in rows])
            statement = (
                "UPDATE delivery SET digest = -digest WHERE digest > 0 AND no IN (SELECT value FROM json_each(?))"
            )
            self._store.connection.execute(statement, (mine,))
        return [*changes, *folding.word(self._store, digest, self._amendment.rewrite, self._at_ms)]
