-- Whether a token came in a channel that was resumed, which releases before this format did not say.
ALTER TABLE entries ADD COLUMN resumed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN resumed INTEGER;
