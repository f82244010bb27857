-- The cards that were issued here: whose each is, and what became of it. `card` is what the card was told apart by when its
-- keys were made (its diversification data), where that is known.
CREATE TABLE cards (
    token_id BLOB PRIMARY KEY,
    user_id TEXT NOT NULL,
    user TEXT NOT NULL,
    card TEXT,
    state TEXT NOT NULL,
    issued INTEGER NOT NULL,
    changed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX cards_user ON cards (user_id);
