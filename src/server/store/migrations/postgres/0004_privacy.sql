-- What a record says of a person is sealed with a salt: without the two the chain still holds, and nobody can guess them.
ALTER TABLE audit ADD COLUMN salt BYTEA;
ALTER TABLE audit ADD COLUMN sealed BYTEA;
CREATE INDEX audit_subject ON audit (subject);
-- Proofs up to this counter were forgotten: none of them is taken again.
ALTER TABLE tokens ADD COLUMN floor BIGINT;
CREATE INDEX proofs_at ON proofs (at);
