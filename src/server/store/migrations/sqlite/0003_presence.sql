-- When a terminal asked last.
ALTER TABLE terminals ADD COLUMN heard INTEGER;
-- What an event says, beside its body.
ALTER TABLE events ADD COLUMN at INTEGER; -- not after it was received
ALTER TABLE events ADD COLUMN user_id TEXT;
ALTER TABLE events ADD COLUMN subject TEXT; -- who comes and goes: a token, or a user without one
ALTER TABLE events ADD COLUMN word TEXT; -- arrived, confirmed, doubted, left
ALTER TABLE events ADD COLUMN sighting INTEGER;
CREATE INDEX events_at ON events (at, terminal, list, seq);
CREATE INDEX events_of_user ON events (user_id, at) WHERE user_id IS NOT NULL;
CREATE INDEX events_received ON events (received);
-- The lists of terminals, in the order in which they came.
CREATE TABLE lists (
    terminal TEXT NOT NULL,
    list TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (terminal, list)
) STRICT, WITHOUT ROWID;
-- What each terminal says last of each subject.
CREATE TABLE stays (
    terminal TEXT NOT NULL,
    subject TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    word TEXT NOT NULL,
    seen INTEGER NOT NULL, -- when it was last seen there; 0 for never
    since INTEGER NOT NULL, -- the moment of the event that names who it is, and its place
    arrived INTEGER NOT NULL,
    named_epoch INTEGER NOT NULL,
    named_list TEXT NOT NULL,
    named_seq INTEGER NOT NULL,
    person TEXT NOT NULL,
    PRIMARY KEY (terminal, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX stays_seen ON stays (subject, seen, terminal);
CREATE INDEX stays_of_person ON stays (person, seen, terminal, subject);
