# SPDX-License-Identifier: GPL-3.0-or-later
"""What a box's databases look like, how older ones become so, and how they are opened: readable by nobody else.

Two of them are here: the log, which nobody else may have, and the rooms, which can be made of it again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What one database holds."""

    what: str
    version: int
    from_version: Mapping[int, str]
    """What makes it so, by the version that is there: 0 is an empty file. Of another one it can't be read."""
    synchronous: Literal["FULL", "NORMAL"]
    """Whether a commit outlives a power cut."""


LOG: Final = Schema(
    what="the log",
    version=2,
    from_version={
        0: """
CREATE TABLE feed (
    feed TEXT PRIMARY KEY, box TEXT NOT NULL, base INTEGER NOT NULL, count INTEGER NOT NULL, head BLOB NOT NULL,
    emptied_ms INTEGER NOT NULL DEFAULT 0, dropped_hlc INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE event (
    arrival INTEGER PRIMARY KEY AUTOINCREMENT, feed TEXT NOT NULL, seq INTEGER NOT NULL, hlc INTEGER NOT NULL,
    previous BLOB NOT NULL, native TEXT NOT NULL, body TEXT NOT NULL, signature BLOB NOT NULL,
    stored_ms INTEGER NOT NULL, news INTEGER NOT NULL, UNIQUE (feed, seq)
);
CREATE INDEX by_age ON event (stored_ms);
CREATE TABLE statement (
    feed TEXT NOT NULL, seq INTEGER NOT NULL, hlc INTEGER NOT NULL, previous BLOB NOT NULL, body TEXT NOT NULL,
    signature BLOB NOT NULL, PRIMARY KEY (feed, seq)
) WITHOUT ROWID;
CREATE TABLE native (native TEXT PRIMARY KEY, arrival INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX native_of ON native (arrival);
CREATE INDEX copies ON event (native) WHERE news = 0;
CREATE TABLE forgotten (box TEXT PRIMARY KEY, hlc INTEGER NOT NULL) WITHOUT ROWID;
""",
        1: """
ALTER TABLE feed ADD COLUMN dropped_hlc INTEGER NOT NULL DEFAULT 0;
CREATE INDEX copies ON event (native) WHERE news = 0;
CREATE TABLE forgotten (box TEXT PRIMARY KEY, hlc INTEGER NOT NULL) WITHOUT ROWID;
""",
    },
    synchronous="FULL",
)
ROOMS: Final = Schema(
    what="the rooms",
    version=3,
    from_version={
        0: """
CREATE TABLE line (
    arrival INTEGER PRIMARY KEY, room TEXT NOT NULL, native TEXT NOT NULL, sender TEXT NOT NULL, name TEXT NOT NULL,
    network TEXT NOT NULL, text TEXT NOT NULL, said_ms INTEGER NOT NULL, late INTEGER NOT NULL, reply_to TEXT,
    stored_ms INTEGER NOT NULL, UNIQUE (native, room)
);
CREATE INDEX in_room ON line (room, arrival);
CREATE TABLE mark (
    target TEXT NOT NULL, sender TEXT NOT NULL, emoji TEXT NOT NULL, native TEXT NOT NULL, network TEXT NOT NULL,
    stored_ms INTEGER NOT NULL, PRIMARY KEY (target, sender, emoji)
) WITHOUT ROWID;
CREATE INDEX mark_native ON mark (native);
CREATE TABLE change (
    target TEXT NOT NULL, sender TEXT NOT NULL, kind TEXT NOT NULL, network TEXT NOT NULL, hlc INTEGER NOT NULL,
    text TEXT NOT NULL, stored_ms INTEGER NOT NULL, PRIMARY KEY (target, kind, sender)
) WITHOUT ROWID;
CREATE TABLE standing (
    about TEXT NOT NULL, box TEXT NOT NULL, leg TEXT NOT NULL, words TEXT NOT NULL, stored_ms INTEGER NOT NULL,
    PRIMARY KEY (about, box, leg)
) WITHOUT ROWID;
CREATE TABLE holder (person TEXT PRIMARY KEY, key TEXT NOT NULL, since_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE copy (native TEXT PRIMARY KEY, original TEXT NOT NULL, stored_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX copy_of ON copy (original);
""",
        # Without its mark it is made anew: what the log says of copies was passed over until now.
        2: """
CREATE TABLE copy (native TEXT PRIMARY KEY, original TEXT NOT NULL, stored_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX copy_of ON copy (original);
DELETE FROM meta;
""",
    },
    synchronous="NORMAL",  # what a power cut takes is taken from the log again
)
BESIDE_ROOMS: Final = (
    # Since when lines are here, over each time that they were taken from the log again: else all would be new, and
    # shown to whoever has a nickname now.
    (
        "CREATE TABLE IF NOT EXISTS first_stored (native TEXT NOT NULL, room TEXT NOT NULL, stored_ms INTEGER NOT NULL,"
        " PRIMARY KEY (native, room)) WITHOUT ROWID"
    ),
    # The loop waits for these: what one person is told, and what is too old, is found without reading all the rest.
    "CREATE INDEX IF NOT EXISTS told_one ON line (sender) WHERE substr(room, 1, 1) = '~'",
    "CREATE INDEX IF NOT EXISTS line_stored ON line (stored_ms)",
    "CREATE INDEX IF NOT EXISTS standing_stored ON standing (stored_ms)",
)
"""What came to the rooms later: an earlier release reads them with it, and this one without."""


def connected(
    path: Path | str,
    schema: Schema,
    *,
    isolation_level: Literal["DEFERRED"] | None = "DEFERRED",
    check_same_thread: bool = True,
) -> sqlite3.Connection:
    """Open or make a database; sqlite3.DatabaseError if it is damaged or of a later release. The rest: `connect`'s."""
    if path != ":memory:":
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite would make it readable by others
    db = sqlite3.connect(path, isolation_level=isolation_level, check_same_thread=check_same_thread)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {schema.synchronous}")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        _upgrade(db, schema, version)
    except BaseException:
        db.close()
        raise
    return db


def _upgrade(db: sqlite3.Connection, schema: Schema, version: int) -> None:
    if version == schema.version:
        return
    if version not in schema.from_version:
        raise sqlite3.DatabaseError(f"{schema.what} is of version {version}; this release reads {schema.version}")
    steps = schema.from_version[version]
    db.executescript(f"BEGIN; {steps} PRAGMA user_version = {schema.version}; COMMIT;")
