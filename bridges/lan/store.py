# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a box's log is kept: SQLite, durable at every commit. Knows rows, decides nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bridges.lan.event import BoxId, Event, FeedId, box_of
from bridges.lan.schemas import LOG, connected


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """How much of a feed there is: events `base` + 1 to `count`; `head` is the hash of the last."""

    base: int
    count: int
    head: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """An event in the order in which this box had them."""

    arrival: int
    event: Event
    stored_ms: int
    """When, by this box's clock; as of when that was first set, if it came before."""


class Store:
    """One box's log on disk. All calls but `writing` are single statements; writes go in a `writing` block."""

    def __init__(self, path: Path | str) -> None:
        """Open or make it; sqlite3.DatabaseError if it is damaged or of a later release."""
        # Its thread may be another than that which opens it; transactions are those of `writing`.
        self._db = connected(path, LOG, isolation_level=None, check_same_thread=False)

    def close(self) -> None:
        """Close it."""
        self._db.close()

    def check(self) -> None:
        """sqlite3.DatabaseError if what is on disk is damaged, as far as a quick look shows."""
        (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            error = sqlite3.DatabaseError(str(found))
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make all of what is written inside durable at its end, or none of it."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def feeds(self) -> dict[FeedId, Feed]:
        """Return all feeds."""
        rows = self._db.execute("SELECT feed, base, count, head FROM feed")
        return {FeedId(feed): Feed(base=base, count=count, head=head) for feed, base, count, head in rows}

    def keep_feeds(self, feeds: Mapping[FeedId, Feed]) -> None:
        """Write these as they are now."""
        self._db.executemany(
            "INSERT INTO feed (feed, box, base, count, head) VALUES (?, ?, ?, ?, ?) ON CONFLICT (feed) DO UPDATE SET"
            " base = excluded.base, count = excluded.count, head = excluded.head",
            [(name, box_of(name), feed.base, feed.count, feed.head) for name, feed in feeds.items()],
        )

    def add(self, event: Event, now_ms: int) -> bool:
        """Append an event; return whether its native id is news here."""
        row = self._db.execute("SELECT 1 FROM native WHERE native = ?", (event.native,)).fetchone()
        news = not event.native or row is None
        added = self._db.execute(
            "INSERT INTO event (feed, seq, hlc, previous, native, body, signature, stored_ms, news)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                event.feed,
                event.seq,
                event.hlc,
                event.previous,
                event.native,
                event.body,
                event.signature,
                now_ms,
                news,
            ),
        )
        if event.native and news:
            self._db.execute("INSERT INTO native VALUES (?, ?)", (event.native, added.lastrowid))
        return news

    def move(self, old: Event, to: Event) -> None:
        """Let an event stand elsewhere, with its arrival: to whoever reads the news it is the same."""
        self._db.execute(
            "UPDATE event SET feed = ?, seq = ?, hlc = ?, previous = ?, signature = ? WHERE feed = ? AND seq = ?",
            (to.feed, to.seq, to.hlc, to.previous, to.signature, old.feed, old.seq),
        )

    def is_elsewhere(self, event: Event) -> bool:
        """Whether its box said the same in another of its feeds."""
        row = self._db.execute(
            "SELECT 1 FROM event WHERE feed >= ? AND feed < ? AND feed <> ? AND native = ?"
            " AND (native <> '' OR body = ?) LIMIT 1",
            (f"{event.box}-", f"{event.box}.", event.feed, event.native, event.body),
        )
        return row.fetchone() is not None

    def knows(self, native: str) -> bool:
        """Whether anybody logged what the world calls so."""
        return self._db.execute("SELECT 1 FROM native WHERE native = ?", (native,)).fetchone() is not None

    def logged_by(self, native: str) -> BoxId | None:
        """Return which box logged first here what the world calls so."""
        row = self._db.execute(
            "SELECT feed FROM native JOIN event USING (arrival) WHERE native.native = ?", (native,)
        ).fetchone()
        return None if row is None else box_of(FeedId(row[0]))

    def event(self, feed: FeedId, seq: int) -> Event | None:
        """Return one event."""
        found = list(self._events("WHERE feed = ? AND seq = ?", (feed, seq)))
        return found[0].event if found else None

    def run(self, feed: FeedId, after: int) -> Generator[Event]:
        """Yield what follows in a feed, in order; read as it is asked for, so close it before anything is written."""
        for arrived in self._events("WHERE feed = ? AND seq > ? ORDER BY seq", (feed, after)):
            yield arrived.event

    def news(self, after: int, limit: int) -> list[Arrived]:
        """Return what came after an arrival and wasn't known by its native id, in the order it came."""
        return list(self._events("WHERE arrival > ? AND news ORDER BY arrival LIMIT ?", (after, limit)))

    def has_news(self, after: int) -> bool:
        """Whether `news` returns anything: not of every arrival, for what another box logged, too, is none."""
        found = self._db.execute("SELECT 1 FROM event WHERE arrival > ? AND news LIMIT 1", (after,))
        return found.fetchone() is not None

    def named_from(self, prefix: str) -> list[Arrived]:
        """Return what has a native id that begins with this, up to its colon, in the order it came."""
        where = "WHERE arrival IN (SELECT arrival FROM native WHERE native >= ? AND native < ?) ORDER BY arrival"
        return list(self._events(where, (prefix, prefix[:-1] + ";")))  # a semicolon comes after a colon

    def last_arrival(self) -> int:
        """Return the latest arrival there ever was here; 0 if there was none."""
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
        return 0 if row is None else int(row[0])

    def keep_statement(self, event: Event) -> None:
        """Keep what a box says of boxes: for ever, however old its feed."""
        self._db.execute(
            "INSERT OR REPLACE INTO statement VALUES (?, ?, ?, ?, ?, ?)",
            (event.feed, event.seq, event.hlc, event.previous, event.body, event.signature),
        )

    def drop_statements(self, names: Iterable[tuple[FeedId, int]]) -> None:
        """Forget statements."""
        self._db.executemany("DELETE FROM statement WHERE feed = ? AND seq = ?", list(names))

    def drop_feeds(self, names: Iterable[FeedId]) -> None:
        """Forget feeds of which nothing is here."""
        self._db.executemany("DELETE FROM feed WHERE feed = ?", [(name,) for name in names])

    def statements(self) -> list[Event]:
        """Return all that boxes said of boxes."""
        rows = self._db.execute("SELECT feed, seq, hlc, previous, '', body, signature FROM statement ORDER BY hlc")
        return [_event(*row) for row in rows]

    def latest_of(self, box: BoxId, limit: int) -> list[FeedId]:
        """Return the feeds of a box of which something is here, the one that was added to last first."""
        rows = self._db.execute(
            "SELECT feed FROM event WHERE feed >= ? AND feed < ? GROUP BY feed ORDER BY max(arrival) DESC LIMIT ?",
            (f"{box}-", f"{box}.", limit),  # a full stop comes after a hyphen
        )
        return [FeedId(feed) for (feed,) in rows]

    def latest_hlc(self, box: BoxId) -> int:
        """Return the latest stamp of a box, of what was dropped, too."""
        latest = (
            "SELECT max(hlc) FROM (SELECT coalesce(max(hlc), 0) AS hlc FROM event WHERE feed >= ? AND feed < ?"
            " UNION SELECT dropped_hlc FROM feed WHERE box = ? UNION SELECT hlc FROM forgotten WHERE box = ?)"
        )
        return int(self._db.execute(latest, (f"{box}-", f"{box}.", box, box)).fetchone()[0])

    def drop_above(self, feed: FeedId, limit: int) -> None:
        """Delete the end of a feed."""
        self._forget("feed = ? AND seq > ?", (feed, limit))

    def drop_up_to(self, feed: FeedId, seq: int) -> None:
        """Delete the beginning of a feed; what its last stamp was is kept."""
        self._db.execute(
            "UPDATE feed SET dropped_hlc = max("
            " dropped_hlc, (SELECT coalesce(max(hlc), 0) FROM event WHERE feed = ?1 AND seq <= ?2)) WHERE feed = ?1",
            (feed, seq),
        )
        self._forget("feed = ? AND seq <= ?", (feed, seq))

    def date(self, *, before_ms: int, as_of_ms: int) -> None:
        """Let what was stored before a time be stored at another."""
        self._db.execute("UPDATE event SET stored_ms = ? WHERE stored_ms < ?", (as_of_ms, before_ms))

    def old_up_to(self, before_ms: int) -> dict[FeedId, int]:
        """Return of each feed up to where all was stored before a time and may go."""
        rows = self._db.execute(
            "SELECT feed, min(CASE WHEN stored_ms >= ?1 THEN seq END), max(seq) FROM event"
            " WHERE feed IN (SELECT DISTINCT feed FROM event WHERE stored_ms < ?1) GROUP BY feed",
            (before_ms,),
        )
        return {FeedId(feed): (last if stays is None else stays - 1) for feed, stays, last in rows}

    def size(self) -> tuple[int, int]:
        """Return how many events there are, and how many bytes all takes."""
        (count,) = self._db.execute("SELECT count(*) FROM event").fetchone()
        (pages,), (free,), (each,) = (
            self._db.execute(f"PRAGMA {what}").fetchone() for what in ("page_count", "freelist_count", "page_size")
        )
        return int(count), (pages - free) * each

    def beyond(self, most: int) -> dict[FeedId, int]:
        """Return of each feed up to where it goes, if only the latest `most` events of all stay."""
        rows = self._db.execute(
            "SELECT feed, max(seq) FROM event WHERE arrival <="
            " (SELECT arrival FROM event ORDER BY arrival DESC LIMIT 1 OFFSET ?) GROUP BY feed",
            (most,),
        )
        return {FeedId(feed): last for feed, last in rows}

    def forget_empty(self, now_ms: int, before_ms: int, *, but: FeedId) -> list[FeedId]:
        """Forget feeds of which nothing has been here since a time, but for one; return which."""
        self._db.execute("UPDATE feed SET emptied_ms = 0 WHERE base < count AND emptied_ms > 0")
        self._db.execute("UPDATE feed SET emptied_ms = ? WHERE base = count AND emptied_ms = 0", (now_ms,))
        gone = "emptied_ms > 0 AND emptied_ms < ? AND feed != ?"
        self._db.execute(
            "INSERT INTO forgotten SELECT box, max(dropped_hlc) FROM feed"  # noqa: S608 - words above
            f" WHERE {gone} GROUP BY box ON CONFLICT DO UPDATE SET hlc = max(hlc, excluded.hlc)",
            (before_ms, but),
        )
        rows = self._db.execute(f"DELETE FROM feed WHERE {gone} RETURNING feed", (before_ms, but))  # noqa: S608
        return [FeedId(feed) for (feed,) in rows.fetchall()]

    def forgotten(self) -> dict[BoxId, int]:
        """Return of each box the last stamp of what was in its feeds that were forgotten."""
        return {BoxId(box): hlc for box, hlc in self._db.execute("SELECT box, hlc FROM forgotten")}

    def _forget(self, where: str, values: tuple[object, ...]) -> None:
        # The text of `where` is one of two above, never anybody's input.
        gone = self._db.execute(f"SELECT native FROM event WHERE {where} AND news AND native <> ''", values).fetchall()  # noqa: S608
        self._db.execute(f"DELETE FROM native WHERE arrival IN (SELECT arrival FROM event WHERE {where})", values)  # noqa: S608
        self._db.execute(f"DELETE FROM event WHERE {where}", values)  # noqa: S608
        # What another box logged, too, is news by its word from now on.
        self._db.executemany(
            "INSERT INTO native SELECT native, min(arrival) FROM event WHERE native = ? AND news = 0 GROUP BY native",
            gone,
        )
        self._db.executemany(
            "UPDATE event SET news = 1 WHERE arrival = (SELECT arrival FROM native WHERE native = ?)", gone
        )

    def _events(self, where: str, values: Iterable[object]) -> Iterator[Arrived]:
        rows = self._db.execute(
            f"SELECT arrival, stored_ms, feed, seq, hlc, previous, native, body, signature FROM event {where}",  # noqa: S608
            tuple(values),
        )
        for arrival, stored_ms, *fields in rows:
            yield Arrived(arrival=arrival, stored_ms=stored_ms, event=_event(*fields))


def _event(feed: str, seq: int, hlc: int, previous: bytes, native: str, body: str, signature: bytes) -> Event:  # noqa: PLR0917  # a row
    return Event(feed=FeedId(feed), seq=seq, hlc=hlc, previous=previous, native=native, body=body, signature=signature)
