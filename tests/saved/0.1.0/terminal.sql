-- The terminal's store, version 1. Times are milliseconds since 1970 (UTC), ids of tokens their 16 bytes, users and
-- errors JSON objects, words those of the JSON output.

PRAGMA application_id = 0x52436c31; -- "RCl1"

-- One value each: `watching` (a watch runs, or ended without saying so), `service_lost`.
CREATE TABLE flags (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE entries (
    token_id BLOB PRIMARY KEY,
    user TEXT NOT NULL,
    reader TEXT NOT NULL,
    since INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    state TEXT NOT NULL,
    source TEXT NOT NULL,
    authenticated INTEGER NOT NULL,
    mode TEXT NOT NULL,
    closes INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE slots (
    reader TEXT PRIMARY KEY,
    attached INTEGER NOT NULL,
    insertion INTEGER,
    unsure INTEGER NOT NULL,
    empty_at INTEGER,
    held TEXT,
    told TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    event TEXT NOT NULL,
    reader TEXT,
    token_id BLOB,
    user TEXT,
    source TEXT,
    authenticated INTEGER,
    reason TEXT,
    error TEXT
) STRICT;

CREATE INDEX events_at ON events (at);

CREATE TABLE denied (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

-- The last use counter of each token.
CREATE TABLE counters (token_id BLOB PRIMARY KEY, counter INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- Certificates that were read once: kind `identity` or `ecka`, owner a token id or a set id.
CREATE TABLE certificates (
    kind TEXT NOT NULL,
    owner BLOB NOT NULL,
    kvn INTEGER NOT NULL,
    der BLOB NOT NULL,
    PRIMARY KEY (kind, owner, kvn)
) STRICT, WITHOUT ROWID;

-- What others hand over to the watch.
CREATE TABLE handover (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, input TEXT NOT NULL) STRICT;
-- Which list numbers these events: another store begins again at 1, and a server that keeps both tells them apart.
CREATE TABLE list (one INTEGER PRIMARY KEY CHECK (one = 1), id BLOB NOT NULL CHECK (length(id) = 16)) STRICT;
INSERT INTO list VALUES (1, randomblob(16));
PRAGMA user_version = 2;
UPDATE list SET id = X'5f0f7f1c2d3e4f5b8a39000000000001';
INSERT INTO events VALUES (1, 1795507201000, 'reader_added', 'North Door', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO events VALUES (2, 1795507202000, 'arrived', 'North Door', X'0b5c9c2e2f4e4f5b8a39000000000001', '{"id":"ada","name":"Ada King","fields":{"room":"B17","team":"α"}}', 'card', 1, NULL, NULL);
INSERT INTO events VALUES (3, 1795507203000, 'arrived', 'North Door', X'0b5c9c2e2f4e4f5b8a39000000000002', '{"id":"josé","name":"José Núñez","fields":{"note":"says \"it''s\\here\""}}', 'server', 1, NULL, NULL);
INSERT INTO events VALUES (4, 1795507204000, 'left', 'North Door', X'0b5c9c2e2f4e4f5b8a39000000000002', '{"id":"josé","name":"José Núñez","fields":{"note":"says \"it''s\\here\""}}', NULL, NULL, 'toggled', NULL);
INSERT INTO events VALUES (5, 1795507205000, 'refused', 'North Door', X'0b5c9c2e2f4e4f5b8a39000000000003', NULL, NULL, NULL, NULL, '{"code":"token.lost","message":"this token was reported lost","hint":null}');
INSERT INTO entries VALUES (X'0b5c9c2e2f4e4f5b8a39000000000001', '{"id":"ada","name":"Ada King","fields":{"room":"B17","team":"α"}}', 'North Door', 1795507202000, 1795507202000, 'present', 'card', 1, 'toggle', NULL);
INSERT INTO slots VALUES ('North Door', 1, 5, 0, NULL, NULL, NULL);
INSERT INTO denied VALUES ('0b5c9c2e-2f4e-4f5b-8a39-000000000004');
INSERT INTO denied VALUES ('mallory');
INSERT INTO counters VALUES (X'0b5c9c2e2f4e4f5b8a39000000000001', 65541);
INSERT INTO counters VALUES (X'0b5c9c2e2f4e4f5b8a39000000000003', 65537);
INSERT INTO certificates VALUES ('identity', X'0b5c9c2e2f4e4f5b8a39000000000001', 0, X'3082015a');
