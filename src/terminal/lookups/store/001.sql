-- What a terminal keeps of its server. All of it can be had again from there, but the numbers of feed and uploads.

-- The CA under which all of this was signed, and the newest feed. One row.
CREATE TABLE feed (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    ca BLOB NOT NULL,
    version INTEGER NOT NULL DEFAULT 0,
    -- When the server signed the newest feed that was taken whole, in milliseconds; NULL before the first.
    at INTEGER,
    audit_seq INTEGER NOT NULL DEFAULT 0,
    audit_hash TEXT NOT NULL DEFAULT ''
) STRICT;

-- Nonces that were not handed out yet.
CREATE TABLE nonces (nonce BLOB PRIMARY KEY, use_by INTEGER NOT NULL) STRICT;

-- Tokens as the feed told of them, active ones left out. `heard` came with a lookup, before the feed that tells it.
CREATE TABLE statuses (
    token_id TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    reason TEXT,
    heard INTEGER NOT NULL CHECK (heard IN (0, 1))
) STRICT;

-- Users of tokens, each as the server signed it.
CREATE TABLE users (token_id TEXT PRIMARY KEY, jws TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE INDEX users_at ON users (at);

-- Up to which event of a list the server has everything.
CREATE TABLE uploads (list TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
