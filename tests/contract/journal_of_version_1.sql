-- SPDX-License-Identifier: GPL-3.0-or-later
-- A journal as version 1 left it: three messages. Never edited; later versions must read it.
BEGIN TRANSACTION;
CREATE TABLE address (
    no INTEGER PRIMARY KEY,
    bridge TEXT NOT NULL,
    conversation TEXT NOT NULL,
    UNIQUE (bridge, conversation)
);
INSERT INTO "address" VALUES(1,'radio','LongFast');
INSERT INTO "address" VALUES(2,'home','#town:example.org');
INSERT INTO "address" VALUES(3,'lan','town');
CREATE TABLE counterpart (
    address INTEGER NOT NULL,
    remote_id TEXT NOT NULL,
    seq INTEGER NOT NULL,               -- message.seq
    part INTEGER NOT NULL,
    PRIMARY KEY (address, remote_id)
) WITHOUT ROWID;
INSERT INTO "counterpart" VALUES(1,'packet-1',1,0);
INSERT INTO "counterpart" VALUES(2,'$one',1,1);
INSERT INTO "counterpart" VALUES(1,'packet-2',2,0);
INSERT INTO "counterpart" VALUES(1,'packet-3',3,0);
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
INSERT INTO "delivery" VALUES(4096,'d8c0353779f81a783dd2b9465e',1,'home',2,1,3,NULL,'sent',1700000000000,1,0,'$one','1700000000000 waiting 
1700000000000 sent 
','[1,"home/#town:example.org",1,3,null,0,"mt:1","radio/LongFast","!a1b2c301","Ali",1700000000000,"n",0,"t","1/3 is anyone there?"]');
INSERT INTO "delivery" VALUES(4097,'b223260bd11683630b42138187',1,'home',2,2,3,NULL,'sending',1700000000000,1,1,NULL,'1700000000000 waiting 
1700000000000 sending 
','[1,"home/#town:example.org",2,3,null,0,"mt:1","radio/LongFast","!a1b2c301","Ali",1700000000000,"n",0,"t","2/3 is anyone there?"]');
INSERT INTO "delivery" VALUES(4098,'c8b81a1785503930969720bc0d',1,'home',2,3,3,NULL,'waiting',1700000000000,1,0,NULL,'1700000000000 waiting 
','[1,"home/#town:example.org",3,3,null,0,"mt:1","radio/LongFast","!a1b2c301","Ali",1700000000000,"n",0,"t","3/3 is anyone there?"]');
INSERT INTO "delivery" VALUES(8192,'b93f817559128274ab73f36836',2,'home',2,1,1,NULL,'waiting',1700000000000,1,0,NULL,'1700000000000 waiting 
','[1,"home/#town:example.org",1,1,null,0,"mt:2","radio/LongFast","!a1b2c301","Ali",1700000000000,"n",0,"t","1/1 is anyone there?"]');
INSERT INTO "delivery" VALUES(8193,'154dca7516d667966e867a6d6a',2,'lan',3,1,1,NULL,'waiting',1700000000000,1,0,NULL,'1700000000000 waiting 
','[1,"lan/town",1,1,null,0,"mt:2","radio/LongFast","!a1b2c301","Ali",1700000000000,"n",0,"t","1/1 is anyone there?"]');
INSERT INTO "delivery" VALUES(12288,'a54f7783ff673a057ceb692111',3,'home',2,1,1,NULL,'failed',1700000000000,1,0,NULL,'1700000000000 waiting 
1700000000000 failed too big
','[1,"home/#town:example.org",1,1,null,0,"mt:3","radio/LongFast","!a1b2c301","Ali",1700000000000,"n",0,"t","1/1 is anyone there?"]');
CREATE TABLE message (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    origin INTEGER NOT NULL,            -- address.no
    received_ms INTEGER NOT NULL,
    envelope TEXT NOT NULL              -- gateway.outbox.codec.encode_message
);
INSERT INTO "message" VALUES(1,'22faf4752aa9b77e78c19d9376',1,1700000000000,'[1,"mt:1","radio/LongFast","!a1b2c301","Ali",1700000000000,"n",0,"t","is anyone there?",null,null,"packet-1"]');
INSERT INTO "message" VALUES(2,'5970ab0fd956691781200a80b1',1,1700000000000,'[1,"mt:2","radio/LongFast","!a1b2c301","Ali",1700000000000,"n",0,"t","is anyone there?",null,null,"packet-2"]');
INSERT INTO "message" VALUES(3,'458e6f9dd859bb754a20b83b0e',1,1700000000000,'[1,"mt:3","radio/LongFast","!a1b2c301","Ali",1700000000000,"n",0,"t","is anyone there?",null,null,"packet-3"]');
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;
INSERT INTO "meta" VALUES('head',0);
INSERT INTO "meta" VALUES('opening',1);
INSERT INTO "meta" VALUES('pruned_ms',0);
INSERT INTO "meta" VALUES('source','11081fa1be014afbb61030fb9a41eab7');
CREATE TABLE resume (
    bridge TEXT PRIMARY KEY,
    point TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "resume" VALUES('radio','s1');
CREATE TABLE tally (
    bridge TEXT NOT NULL,
    state TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (bridge, state)
) WITHOUT ROWID;
INSERT INTO "tally" VALUES('home','failed',1);
INSERT INTO "tally" VALUES('home','sending',1);
INSERT INTO "tally" VALUES('home','sent',1);
INSERT INTO "tally" VALUES('home','waiting',2);
INSERT INTO "tally" VALUES('lan','waiting',1);
CREATE INDEX message_by_age ON message (received_ms);
CREATE INDEX delivery_pending ON delivery (bridge, seq) WHERE state IN ('waiting', 'queued', 'sending');
CREATE INDEX delivery_failed ON delivery (state) WHERE state = 'failed';
CREATE INDEX counterpart_of ON counterpart (seq, address, part);
CREATE TRIGGER delivery_named AFTER UPDATE OF remote_id ON delivery WHEN new.remote_id IS NOT old.remote_id BEGIN
    INSERT OR REPLACE INTO counterpart VALUES (new.address, new.remote_id, new.no >> 12, new.part);
END;
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
COMMIT;
PRAGMA user_version = 1;
