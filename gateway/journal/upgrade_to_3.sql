-- SPDX-License-Identifier: GPL-3.0-or-later
-- What version 3 has beyond version 2: the outage log.

-- When what was away and why, and what became of what had to wait for it. Sequences are message.seq.
CREATE TABLE outage (
    no INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,                 -- bridge | queue | journal | gateway
    name TEXT NOT NULL,                 -- the bridge's; empty for the others
    began_ms INTEGER NOT NULL,
    began_in INTEGER NOT NULL,          -- meta.opening
    ended_ms INTEGER,
    ended_in INTEGER,
    reason TEXT NOT NULL,
    low INTEGER NOT NULL,               -- the first message that had to wait for it
    head INTEGER NOT NULL,              -- the last that was accepted when it began
    high INTEGER,                       -- the last that was accepted when it ended
    counted_ms INTEGER,                 -- when the following was last counted
    late INTEGER NOT NULL DEFAULT 0,
    folded INTEGER NOT NULL DEFAULT 0,
    expired INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    waiting INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX outage_of ON outage (kind, name);
