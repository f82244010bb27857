-- A log grows at its end. An index by subjects alone is written everywhere, a page for each record; by parts of the log
-- first, it grows at its end, too.
CREATE INDEX audit_parts ON audit ((seq / 512), subject);
-- The records that say something of a person are few, and found by their subject.
CREATE INDEX audit_personal ON audit (subject)
    WHERE action IN ('user.create', 'user.change', 'token.register', 'token.status');
-- At the end: others wait for it, and not for the two above.
DROP INDEX audit_subject;
