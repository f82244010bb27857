-- The newest head that was seen of the log that the server has instead, while it is not followed; and how often its log was exchanged
-- for another, so that events went there from the first one on.
ALTER TABLE feed ADD COLUMN other_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE feed ADD COLUMN other_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE feed ADD COLUMN exchanges INTEGER NOT NULL DEFAULT 0;
