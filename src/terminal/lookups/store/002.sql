-- The newest feed as it was signed, which witnesses its record of the audit log; and whether the server's log has lost it.
ALTER TABLE feed ADD COLUMN jws TEXT NOT NULL DEFAULT '';
ALTER TABLE feed ADD COLUMN rolled_back INTEGER NOT NULL DEFAULT 0;
