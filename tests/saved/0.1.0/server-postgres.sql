CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BYTEA NOT NULL,
    execution_time BIGINT NOT NULL
);
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
INSERT INTO _sqlx_migrations VALUES (1, 'begin', '2026-11-24 08:00:00', TRUE, '\xeeee6337e23bfe59ec89c5070649f0dc32a61b59528d029bd8e91e8813a81f0fb797c2b90756a981574abb484a440fab', 1000000);
INSERT INTO meta VALUES ('authority', '\x@AUTHORITY@');
INSERT INTO terminals VALUES ('first-desk', 'admin', 1795507200000, NULL);
INSERT INTO terminal_keys VALUES ('\x0101010101010101010101010101010101010101010101010101010101010101', 'first-desk', 'first-desk', '\x1111111111111111111111111111111111111111111111111111111111111111', 'first-desk', 1801555200000);
INSERT INTO terminals VALUES ('north', 'read', 1795507200001, NULL);
INSERT INTO terminal_keys VALUES ('\x0202020202020202020202020202020202020202020202020202020202020202', 'north', 'north', '\x1212121212121212121212121212121212121212121212121212121212121212', 'north', 1801555200000);
INSERT INTO terminals VALUES ('attic', 'enroll', 1795507200002, 1795507200003);
INSERT INTO terminal_keys VALUES ('\x0303030303030303030303030303030303030303030303030303030303030303', 'attic', 'attic', '\x1313131313131313131313131313131313131313131313131313131313131313', 'attic', 1801555200000);
INSERT INTO users VALUES ('7', '=SUM(1;2)', '{}', 1795507200010);
INSERT INTO users VALUES ('ada', 'Ada King', '{"room":"B17","team":"α"}', 1795507200020);
INSERT INTO users VALUES ('josé', 'José Núñez', '{"note":"says \"it''s\\here\""}', 1795507200012);
INSERT INTO tokens VALUES ('0b5c9c2e-2f4e-4f5b-8a39-000000000004', 'ada', 'revoked', 'replaced by 0b5c9c2e-2f4e-4f5b-8a39-000000000001', 1795507200101, 1, '\x04015a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a', '\x04115a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a', '\x30820130303030303030303030303030303030303030303030303030303030303030303030303030303030', '\x30821130303030303030303030303030303030303030303030303030303030303030303030303030303030', 65536, 1795507200150);
INSERT INTO proofs VALUES ('0b5c9c2e-2f4e-4f5b-8a39-000000000004', 65536, '\x0101010101010101010101010101010101010101010101010101010101010101', 1795507200150);
INSERT INTO tokens VALUES ('0b5c9c2e-2f4e-4f5b-8a39-000000000001', 'ada', 'active', NULL, 1795507200101, 0, '\x04025a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a', '\x04125a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a', '\x30820230303030303030303030303030303030303030303030303030303030303030303030303030303030', '\x30821230303030303030303030303030303030303030303030303030303030303030303030303030303030', 65541, 1795507200150);
INSERT INTO proofs VALUES ('0b5c9c2e-2f4e-4f5b-8a39-000000000001', 65541, '\x0202020202020202020202020202020202020202020202020202020202020202', 1795507200150);
INSERT INTO tokens VALUES ('0b5c9c2e-2f4e-4f5b-8a39-000000000002', 'josé', 'active', NULL, 1795507200102, 0, '\x04035a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a', '\x04135a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a', '\x30820330303030303030303030303030303030303030303030303030303030303030303030303030303030', '\x30821330303030303030303030303030303030303030303030303030303030303030303030303030303030', NULL, NULL);
INSERT INTO tokens VALUES ('0b5c9c2e-2f4e-4f5b-8a39-000000000003', 'josé', 'lost', 'left in a train', 1795507200300, 3, '\x04045a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a', '\x04145a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a', '\x30820430303030303030303030303030303030303030303030303030303030303030303030303030303030', '\x30821430303030303030303030303030303030303030303030303030303030303030303030303030303030', 65537, 1795507200150);
INSERT INTO proofs VALUES ('0b5c9c2e-2f4e-4f5b-8a39-000000000003', 65537, '\x0404040404040404040404040404040404040404040404040404040404040404', 1795507200150);
UPDATE feed SET version = 3;
INSERT INTO nonces VALUES ('\xa1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1', 'north', 1795507200140, 1795507200150);
INSERT INTO nonces VALUES ('\xa2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2', 'north', 1795507200141, NULL);
INSERT INTO events VALUES ('north', '5f0f7f1c-2d3e-4f5b-8a39-000000000001', 1, 1795507210000, '{"schema":"rollcall.event/1","event":"reader_added","seq":1,"at":"2026-11-24T08:00:01.000Z","reader":"North Door"}');
INSERT INTO events VALUES ('north', '5f0f7f1c-2d3e-4f5b-8a39-000000000001', 2, 1795507210000, '{"schema":"rollcall.event/1","event":"arrived","seq":2,"at":"2026-11-24T08:00:02.000Z","reader":"North Door","token_id":"0b5c9c2e-2f4e-4f5b-8a39-000000000001","user":{"id":"ada","name":"Ada King","fields":{"room":"B17","team":"α"}},"source":"card","authenticated":true}');
INSERT INTO events VALUES ('north', '5f0f7f1c-2d3e-4f5b-8a39-000000000001', 3, 1795507210000, '{"schema":"rollcall.event/1","event":"arrived","seq":3,"at":"2026-11-24T08:00:03.000Z","reader":"North Door","token_id":"0b5c9c2e-2f4e-4f5b-8a39-000000000002","user":{"id":"josé","name":"José Núñez","fields":{"note":"says \"it''s\\here\""}},"source":"server","authenticated":true}');
INSERT INTO events VALUES ('north', '5f0f7f1c-2d3e-4f5b-8a39-000000000001', 4, 1795507210000, '{"schema":"rollcall.event/1","event":"left","seq":4,"at":"2026-11-24T08:00:04.000Z","reader":"North Door","token_id":"0b5c9c2e-2f4e-4f5b-8a39-000000000002","user":{"id":"josé","name":"José Núñez","fields":{"note":"says \"it''s\\here\""}},"reason":"toggled"}');
INSERT INTO events VALUES ('north', '5f0f7f1c-2d3e-4f5b-8a39-000000000001', 5, 1795507210000, '{"schema":"rollcall.event/1","event":"refused","seq":5,"at":"2026-11-24T08:00:05.000Z","reader":"North Door","token_id":"0b5c9c2e-2f4e-4f5b-8a39-000000000003","error":{"code":"token.lost","message":"this token was reported lost","hint":null}}');
INSERT INTO audit VALUES (1, 1795507200000, 'server', 'terminal.add', 'first-desk', '{"role":"admin"}', '\x981aa01cbf918820c2e419e77445ac6e8cf7351f21346f4fc8af74ea5f867820');
INSERT INTO audit VALUES (2, 1795507200001, 'first-desk', 'terminal.add', 'north', '{"role":"read"}', '\x117c9f46a782d1f2daba8d2f168f99b2d09645f1c0b0bd0bc17795600bb9e172');
INSERT INTO audit VALUES (3, 1795507200002, 'first-desk', 'terminal.add', 'attic', '{"role":"enroll"}', '\x0dbe7a2838da57fd08be91e8050628da5ed2beef23ac3cd36887abc02236f1bb');
INSERT INTO audit VALUES (4, 1795507200003, 'first-desk', 'terminal.revoke', 'attic', '{}', '\x16bdec58bf8e667f7ac18d5a4d6317408789ead2113ce2e0018bb898c5e5d085');
INSERT INTO audit VALUES (5, 1795507200010, 'first-desk', 'user.create', '7', '{"fields":{},"name":"=SUM(1;2)"}', '\x38a77308f85f72825baa9a6c38dbf1e48c6a369be705d60e9d34a8699cd4736b');
INSERT INTO audit VALUES (6, 1795507200011, 'first-desk', 'user.create', 'ada', '{"fields":{"team":"α"},"name":"Ada Lovelace"}', '\x745a401d1a675da79bbb93fe72eec8bbb46fa30989b49efcd54e6296a5ed1217');
INSERT INTO audit VALUES (7, 1795507200012, 'first-desk', 'user.create', 'josé', '{"fields":{"note":"says \"it''s\\here\""},"name":"José Núñez"}', '\xc1893afecc4c6b79e60a768b0544a24e023dcc3bbc2f98ae56e3295309985936');
INSERT INTO audit VALUES (8, 1795507200020, 'first-desk', 'user.change', 'ada', '{"fields":{"room":"B17","team":"α"},"name":"Ada King"}', '\xf2571a1229ae017366982324e5e192659edfe6a65cbdfe60e08090e6c2893bc0');
INSERT INTO audit VALUES (9, 1795507200100, 'first-desk', 'token.register', '0b5c9c2e-2f4e-4f5b-8a39-000000000004', '{"replaces":null,"user":"ada"}', '\x94f8093ad35686c1ed7e1eaa57ab696973e10a4746e4f5e2ae99a303cf9112b3');
INSERT INTO audit VALUES (10, 1795507200101, 'first-desk', 'token.status', '0b5c9c2e-2f4e-4f5b-8a39-000000000004', '{"reason":"replaced by 0b5c9c2e-2f4e-4f5b-8a39-000000000001","status":"revoked"}', '\xbc177de845a06f7bfe5dd0fa6ae5b06e66011c54ed951400d7daad37724a47b3');
INSERT INTO audit VALUES (11, 1795507200101, 'first-desk', 'token.register', '0b5c9c2e-2f4e-4f5b-8a39-000000000001', '{"replaces":"0b5c9c2e-2f4e-4f5b-8a39-000000000004","user":"ada"}', '\x4681dcbe9e28f68e9d4aa62f0aea9388f21532e9462ab055451a05f2cb36eec6');
INSERT INTO audit VALUES (12, 1795507200102, 'first-desk', 'token.register', '0b5c9c2e-2f4e-4f5b-8a39-000000000002', '{"replaces":null,"user":"josé"}', '\x8ed34842c0f37c5c5ad1d612b4db10d02bd8b8fe07531ab80868e20221421e13');
INSERT INTO audit VALUES (13, 1795507200103, 'first-desk', 'token.register', '0b5c9c2e-2f4e-4f5b-8a39-000000000003', '{"replaces":null,"user":"josé"}', '\x46a549a06cadb621b07036d5b2cb886d1590abb7e16ea96d4185c9f94769a87b');
INSERT INTO audit VALUES (14, 1795507200200, 'first-desk', 'token.status', '0b5c9c2e-2f4e-4f5b-8a39-000000000003', '{"reason":null,"status":"suspended"}', '\x417ffc5a4bcf1041feb8d38c6b0aba16b897344eb526853415a0f72af1fa50a2');
INSERT INTO audit VALUES (15, 1795507200300, 'first-desk', 'token.status', '0b5c9c2e-2f4e-4f5b-8a39-000000000003', '{"reason":"left in a train","status":"lost"}', '\x41ce97092a0569ef940c8ea33ffa9e60076e77900e471558c3bfe27a64f66ba1');
INSERT INTO audit VALUES (16, 1795507200150, 'north', 'lookup', '0b5c9c2e-2f4e-4f5b-8a39-000000000001', '{"proof":"fresh","status":"active"}', '\x92e39981b8632dba856d57007bbb8215a192ef11f7b8531f5c60cfca053793d8');
INSERT INTO audit VALUES (17, 1795507205000, 'north', 'lookup.refuse', '0b5c9c2e-2f4e-4f5b-8a39-000000000003', '{"proof":"fresh","status":"lost"}', '\x7a23adb21b4c90c11234633d8c52e224f5985db51c535038d8ff1faedb7e8945');
UPDATE audit_head SET seq = 17, hash = '\x7a23adb21b4c90c11234633d8c52e224f5985db51c535038d8ff1faedb7e8945';
