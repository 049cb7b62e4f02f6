-- SPDX-License-Identifier: GPL-3.0-or-later
-- What version 2 has beyond version 1.

-- Which ids a message has in the world because we sent it: who hears it there has nothing new.
CREATE TABLE alias (
    id TEXT PRIMARY KEY,                -- a message id
    seq INTEGER NOT NULL,               -- message.seq
    part INTEGER NOT NULL               -- delivery.part that was sent
) WITHOUT ROWID;
CREATE INDEX alias_of ON alias (seq);
