-- SPDX-License-Identifier: GPL-3.0-or-later
-- What version 4 has beyond version 3: deliveries that say something else than when they were queued.

-- `revision`: how often the body was changed; above 0 the queue's copy of it is stale, and this one counts.
-- `digest`: the `no` of the delivery that says in short what this one said; its own, if it carries the digest;
-- negative, if its words were taken back and are not in it any more.
ALTER TABLE delivery ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN digest INTEGER;
CREATE INDEX delivery_digest ON delivery (digest) WHERE digest IS NOT NULL;

-- Which messages are new words for which: both message.seq.
CREATE TABLE edit (
    seq INTEGER PRIMARY KEY,
    target INTEGER NOT NULL
);
CREATE INDEX edit_of ON edit (target);
