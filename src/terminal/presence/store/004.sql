-- When and where each token was last tapped in mode toggle, while another tap of it may be a bounce.
CREATE TABLE taps (token_id BLOB PRIMARY KEY, reader TEXT NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
