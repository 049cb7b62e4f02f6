-- SPDX-License-Identifier: GPL-3.0-or-later
-- What version 5 has beyond version 4: what people decided in chats, beside the configuration file.

CREATE TABLE decision (
    kind TEXT NOT NULL,                 -- route, permission, mute: the core's own words
    key TEXT NOT NULL,
    value TEXT NOT NULL,                -- JSON, by kind
    made_by TEXT NOT NULL,              -- a sender's id
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
