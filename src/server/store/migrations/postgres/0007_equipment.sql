-- What each terminal says last of each of its readers, and of its card service.
CREATE TABLE equipment (
    terminal TEXT COLLATE "C" NOT NULL,
    reader TEXT COLLATE "C" NOT NULL, -- empty for the card service
    epoch BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    fault TEXT, -- unplugged, unavailable, service_lost; none where it works
    since BIGINT NOT NULL,
    PRIMARY KEY (terminal, reader)
);
