-- What terminals hold of a log that this store does not have: it was restored from a backup, or its end was cut off.
CREATE TABLE witnesses (
    terminal TEXT PRIMARY KEY,
    seq INTEGER NOT NULL, -- the record of the other log that the terminal was told of last
    hash BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE witnessed (
    terminal TEXT NOT NULL,
    token_id TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('suspended', 'lost', 'revoked')),
    reason TEXT,
    PRIMARY KEY (terminal, token_id)
) STRICT, WITHOUT ROWID;
-- Records of other logs that an administrator has reconciled with this one.
CREATE TABLE reconciled (
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (seq, hash)
) STRICT, WITHOUT ROWID;
