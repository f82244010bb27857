-- When a terminal asked last.
ALTER TABLE terminals ADD COLUMN heard BIGINT;
ALTER TABLE events ALTER COLUMN terminal TYPE TEXT COLLATE "C", ALTER COLUMN list TYPE TEXT COLLATE "C";
-- What an event says, beside its body.
ALTER TABLE events ADD COLUMN at BIGINT; -- not after it was received
ALTER TABLE events ADD COLUMN user_id TEXT COLLATE "C";
ALTER TABLE events ADD COLUMN subject TEXT COLLATE "C"; -- who comes and goes: a token, or a user without one
ALTER TABLE events ADD COLUMN word TEXT; -- arrived, confirmed, doubted, left
ALTER TABLE events ADD COLUMN sighting BIGINT;
CREATE INDEX events_at ON events (at, terminal, list, seq);
CREATE INDEX events_of_user ON events (user_id, at) WHERE user_id IS NOT NULL;
CREATE INDEX events_received ON events (received);
-- The lists of terminals, in the order in which they came.
CREATE TABLE lists (
    terminal TEXT COLLATE "C" NOT NULL,
    list TEXT COLLATE "C" NOT NULL,
    epoch BIGINT NOT NULL,
    first_seq BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (terminal, list)
);
-- What each terminal says last of each subject.
CREATE TABLE stays (
    terminal TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    epoch BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    word TEXT COLLATE "C" NOT NULL,
    seen BIGINT NOT NULL, -- when it was last seen there; 0 for never
    since BIGINT NOT NULL, -- the moment of the event that names who it is, and its place
    arrived BIGINT NOT NULL,
    named_epoch BIGINT NOT NULL,
    named_list TEXT COLLATE "C" NOT NULL,
    named_seq BIGINT NOT NULL,
    person TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (terminal, subject)
);
CREATE INDEX stays_seen ON stays (subject, seen, terminal);
CREATE INDEX stays_of_person ON stays (person, seen, terminal, subject);
