-- What terminals hold of a log that this store does not have: it was restored from a backup, or its end was cut off.
CREATE TABLE witnesses (
    terminal TEXT COLLATE "C" PRIMARY KEY,
    seq BIGINT NOT NULL, -- the record of the other log that the terminal was told of last
    hash BYTEA NOT NULL,
    at BIGINT NOT NULL
);
CREATE TABLE witnessed (
    terminal TEXT COLLATE "C" NOT NULL,
    token_id TEXT COLLATE "C" NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('suspended', 'lost', 'revoked')),
    reason TEXT,
    PRIMARY KEY (terminal, token_id)
);
-- Records of other logs that an administrator has reconciled with this one.
CREATE TABLE reconciled (
    seq BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    PRIMARY KEY (seq, hash)
);
