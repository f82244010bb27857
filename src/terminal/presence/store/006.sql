-- Who entered an event by hand, and why. Such events (`checked_in`, `checked_out`, `removed`) are unknown to releases before
-- this format.
ALTER TABLE events ADD COLUMN by TEXT;
ALTER TABLE events ADD COLUMN note TEXT;
