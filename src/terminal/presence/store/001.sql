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
