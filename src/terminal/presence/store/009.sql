-- The least time, in microseconds, that each token took for a heartbeat at each reader with a bound on distance, and when
-- that was.
CREATE TABLE heartbeats (
    token_id BLOB NOT NULL,
    reader TEXT NOT NULL,
    least INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (token_id, reader)
) STRICT, WITHOUT ROWID;
