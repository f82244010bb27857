CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    fields TEXT NOT NULL, -- a JSON object of texts
    changed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE tokens (
    token_id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'lost', 'revoked')),
    reason TEXT,
    changed INTEGER NOT NULL,
    version INTEGER NOT NULL, -- of the revocation feed; 0 while the status never changed
    identity_key BLOB NOT NULL,
    ecka_key BLOB NOT NULL,
    identity_certificate BLOB NOT NULL,
    ecka_certificate BLOB NOT NULL,
    counter INTEGER, -- the highest that a proof has shown
    counter_at INTEGER -- when that proof came
) STRICT;
CREATE INDEX tokens_of_user ON tokens (user_id);
CREATE INDEX tokens_changed ON tokens (version) WHERE version > 0;
CREATE TABLE feed (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT;
INSERT INTO feed VALUES (1, 0);
CREATE TABLE proofs (
    token_id TEXT NOT NULL,
    counter INTEGER NOT NULL,
    claims BLOB NOT NULL, -- SHA-256 of what was signed; a signature itself can be changed by anybody
    at INTEGER NOT NULL,
    PRIMARY KEY (token_id, counter)
) STRICT, WITHOUT ROWID;
CREATE TABLE nonces (
    nonce BLOB PRIMARY KEY,
    terminal TEXT NOT NULL,
    issued INTEGER NOT NULL,
    used INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX nonces_issued ON nonces (issued);
CREATE TABLE terminals (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL CHECK (role IN ('read', 'enroll', 'admin')),
    added INTEGER NOT NULL,
    revoked INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE terminal_keys (
    tls_key BLOB PRIMARY KEY, -- SHA-256 of the 65-byte point
    terminal TEXT NOT NULL REFERENCES terminals (name),
    tls_subject TEXT NOT NULL,
    ecka_key BLOB NOT NULL, -- the thumbprint of RFC 9679
    ecka_subject TEXT NOT NULL,
    not_after INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_of_terminal ON terminal_keys (terminal);
CREATE TABLE events (
    terminal TEXT NOT NULL,
    list TEXT NOT NULL,
    seq INTEGER NOT NULL,
    received INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (terminal, list, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE TABLE audit_head (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, hash BLOB NOT NULL) STRICT;
INSERT INTO audit_head VALUES (1, 0, zeroblob(32));
