-- What each terminal says last of each of its readers, and of its card service.
CREATE TABLE equipment (
    terminal TEXT NOT NULL,
    reader TEXT NOT NULL, -- empty for the card service
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    fault TEXT, -- unplugged, unavailable, service_lost; none where it works
    since INTEGER NOT NULL,
    PRIMARY KEY (terminal, reader)
) STRICT, WITHOUT ROWID;
