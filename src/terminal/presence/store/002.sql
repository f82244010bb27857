-- Which list numbers these events: another store begins again at 1, and a server that keeps both tells them apart.
CREATE TABLE list (one INTEGER PRIMARY KEY CHECK (one = 1), id BLOB NOT NULL CHECK (length(id) = 16)) STRICT;
INSERT INTO list VALUES (1, randomblob(16));
