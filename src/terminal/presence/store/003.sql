-- A reader may be plugged in and not work. Events may tell of that, and of tokens that are in doubt, which releases before
-- this format cannot read.
ALTER TABLE slots ADD COLUMN unavailable INTEGER NOT NULL DEFAULT 0;
