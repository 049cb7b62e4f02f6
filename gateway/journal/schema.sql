-- SPDX-License-Identifier: GPL-3.0-or-later
-- The journal, version 1 (PRAGMA user_version); upgrade_to_*.sql make of it what this release writes.
-- Times are milliseconds of the gateway's clock.

-- `source`: this journal's name in the queue; `head`: the last sequence that was given out, as of the last
-- pruning (the newest message knows better); `opening`: how often a gateway has opened this file;
-- `pruned_ms`: when retention last ran.
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;

-- Where each source goes on.
CREATE TABLE resume (
    bridge TEXT PRIMARY KEY,
    point TEXT NOT NULL
) WITHOUT ROWID;

-- Addresses by number: each is in many rows.
CREATE TABLE address (
    no INTEGER PRIMARY KEY,
    bridge TEXT NOT NULL,
    conversation TEXT NOT NULL,
    UNIQUE (bridge, conversation)
);

-- What was said. `received_ms` overrides the envelope's: it moves when the wall clock was set.
CREATE TABLE message (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    origin INTEGER NOT NULL,            -- address.no
    received_ms INTEGER NOT NULL,
    envelope TEXT NOT NULL              -- gateway.outbox.codec.encode_message
);
CREATE INDEX message_by_age ON message (received_ms);

-- What became of it. `no` is its message's seq * 4096 + its place there, so that a message's deliveries lie
-- together. `seq` is where the drain finds it: its message's, until it is sent again by hand.
CREATE TABLE delivery (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    seq INTEGER NOT NULL,
    bridge TEXT NOT NULL,               -- of its address; here for the index
    address INTEGER NOT NULL,           -- address.no
    part INTEGER NOT NULL,
    parts INTEGER NOT NULL,
    expires_ms INTEGER,                 -- overrides the body's
    state TEXT NOT NULL,
    changed_ms INTEGER NOT NULL,
    opening INTEGER NOT NULL,           -- in which opening it last changed
    generation INTEGER NOT NULL DEFAULT 0,
    remote_id TEXT,
    history TEXT NOT NULL,              -- a line a change: "at_ms state reason"
    body TEXT                           -- gateway.outbox.codec.encode, while it may still be sent
);
CREATE INDEX delivery_pending ON delivery (bridge, seq) WHERE state IN ('waiting', 'queued', 'sending');
CREATE INDEX delivery_failed ON delivery (state) WHERE state = 'failed';

-- Under which ids a message is known where. Part 0: as received there; else: as sent there, or as heard there
-- from another sending of ours.
CREATE TABLE counterpart (
    address INTEGER NOT NULL,
    remote_id TEXT NOT NULL,
    seq INTEGER NOT NULL,               -- message.seq
    part INTEGER NOT NULL,
    PRIMARY KEY (address, remote_id)
) WITHOUT ROWID;
CREATE INDEX counterpart_of ON counterpart (seq, address, part);
CREATE TRIGGER delivery_named AFTER UPDATE OF remote_id ON delivery WHEN new.remote_id IS NOT old.remote_id BEGIN
    INSERT OR REPLACE INTO counterpart VALUES (new.address, new.remote_id, new.no >> 12, new.part);
END;

-- How many deliveries are in which state; kept by triggers, so that asking costs nothing.
CREATE TABLE tally (
    bridge TEXT NOT NULL,
    state TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (bridge, state)
) WITHOUT ROWID;
CREATE TRIGGER delivery_added AFTER INSERT ON delivery BEGIN
    INSERT INTO tally VALUES (new.bridge, new.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER delivery_moved AFTER UPDATE OF state ON delivery WHEN old.state <> new.state BEGIN
    UPDATE tally SET n = n - 1 WHERE bridge = old.bridge AND state = old.state;
    INSERT INTO tally VALUES (new.bridge, new.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER delivery_removed AFTER DELETE ON delivery BEGIN
    UPDATE tally SET n = n - 1 WHERE bridge = old.bridge AND state = old.state;
END;
