-- When a token or user was denied, whose it was, and why, as far as that was said.
ALTER TABLE denied ADD COLUMN at INTEGER;
ALTER TABLE denied ADD COLUMN name TEXT;
ALTER TABLE denied ADD COLUMN reason TEXT;
