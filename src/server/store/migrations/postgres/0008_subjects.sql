-- A token's events are found by it: whoever forgets its user holds everybody up meanwhile.
CREATE INDEX events_of_subject ON events (subject) WHERE subject IS NOT NULL;
