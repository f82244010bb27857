CREATE TABLE meta (name TEXT COLLATE "C" PRIMARY KEY, value BYTEA NOT NULL);
CREATE TABLE users (
    id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT NOT NULL,
    fields TEXT NOT NULL, -- a JSON object of texts
    changed BIGINT NOT NULL
);
CREATE TABLE tokens (
    token_id TEXT COLLATE "C" PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'lost', 'revoked')),
    reason TEXT,
    changed BIGINT NOT NULL,
    version BIGINT NOT NULL, -- of the revocation feed; 0 while the status never changed
    identity_key BYTEA NOT NULL,
    ecka_key BYTEA NOT NULL,
    identity_certificate BYTEA NOT NULL,
    ecka_certificate BYTEA NOT NULL,
    counter BIGINT, -- the highest that a proof has shown
    counter_at BIGINT -- when that proof came
);
CREATE INDEX tokens_of_user ON tokens (user_id);
CREATE INDEX tokens_changed ON tokens (version) WHERE version > 0;
CREATE TABLE feed (one BIGINT PRIMARY KEY CHECK (one = 1), version BIGINT NOT NULL);
INSERT INTO feed VALUES (1, 0);
CREATE TABLE proofs (
    token_id TEXT NOT NULL,
    counter BIGINT NOT NULL,
    claims BYTEA NOT NULL, -- SHA-256 of what was signed; a signature itself can be changed by anybody
    at BIGINT NOT NULL,
    PRIMARY KEY (token_id, counter)
);
CREATE TABLE nonces (
    nonce BYTEA PRIMARY KEY,
    terminal TEXT NOT NULL,
    issued BIGINT NOT NULL,
    used BIGINT
);
CREATE INDEX nonces_issued ON nonces (issued);
CREATE TABLE terminals (
    name TEXT COLLATE "C" PRIMARY KEY,
    role TEXT NOT NULL CHECK (role IN ('read', 'enroll', 'admin')),
    added BIGINT NOT NULL,
    revoked BIGINT
);
CREATE TABLE terminal_keys (
    tls_key BYTEA PRIMARY KEY, -- SHA-256 of the 65-byte point
    terminal TEXT NOT NULL REFERENCES terminals (name),
    tls_subject TEXT NOT NULL,
    ecka_key BYTEA NOT NULL, -- the thumbprint of RFC 9679
    ecka_subject TEXT NOT NULL,
    not_after BIGINT NOT NULL
);
CREATE INDEX keys_of_terminal ON terminal_keys (terminal);
CREATE TABLE events (
    terminal TEXT NOT NULL,
    list TEXT NOT NULL,
    seq BIGINT NOT NULL,
    received BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (terminal, list, seq)
);
CREATE TABLE audit (
    seq BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    hash BYTEA NOT NULL
);
CREATE TABLE audit_head (one BIGINT PRIMARY KEY CHECK (one = 1), seq BIGINT NOT NULL, hash BYTEA NOT NULL);
INSERT INTO audit_head VALUES (1, 0, decode(repeat('00', 32), 'hex'));
