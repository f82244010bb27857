#!/usr/bin/env python3
"""Writes the stores of release 0.1.0 beside this file: `make.py FOLDER`, with the sources of that release in FOLDER.

The tables are its own scripts, as they stand there; the rows are what it wrote into them, made here by other code: also the
chain of the audit log. @AUTHORITY@ stands for the key identifier of the CA that the store belongs to, in hexadecimal digits.
"""

import hashlib
import json
import pathlib
import sys

BEGIN = 1_795_507_200_000  # 2026-11-24T08:00:00Z
ADA, JOSE, LOST, OLD = (f"0b5c9c2e-2f4e-4f5b-8a39-{n:012x}" for n in range(1, 5))
LIST = "5f0f7f1c-2d3e-4f5b-8a39-000000000001"
USERS = [
    {"id": "7", "name": "=SUM(1;2)", "fields": {}},
    {"id": "ada", "name": "Ada King", "fields": {"room": "B17", "team": "α"}},
    {"id": "josé", "name": "José Núñez", "fields": {"note": "says \"it's\\here\""}},
]


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def detail(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def text(value):
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"


class Audit:
    """The chain: every field with its length, after the hash before."""

    def __init__(self):
        self.rows, self.hash = [], bytes(32)

    def add(self, at, actor, action, subject, more):
        row = (len(self.rows) + 1, at, actor, action, subject, detail(more))
        parts = row[0].to_bytes(8, "big") + at.to_bytes(8, "big")
        for part in row[2:]:
            parts += len(part.encode()).to_bytes(8, "big") + part.encode()
        self.hash = hashlib.sha256(b"rollcall audit 1" + parts + self.hash).digest()
        self.rows.append((*row, self.hash))


def server(script, blob):
    audit, lines = Audit(), []

    def insert(table, *values):
        lines.append(f"INSERT INTO {table} VALUES ({', '.join(str(value) for value in values)});")

    def fields(user):
        return {"name": user["name"], "fields": user["fields"]}

    insert("_sqlx_migrations", 1, "'begin'", "'2026-11-24 08:00:00'", "TRUE",
           blob(hashlib.sha384(script.encode()).hexdigest()), 1_000_000)
    insert("meta", "'authority'", blob("@AUTHORITY@"))
    audit.add(BEGIN, "server", "terminal.add", "first-desk", {"role": "admin"})
    audit.add(BEGIN + 1, "first-desk", "terminal.add", "north", {"role": "read"})
    audit.add(BEGIN + 2, "first-desk", "terminal.add", "attic", {"role": "enroll"})
    audit.add(BEGIN + 3, "first-desk", "terminal.revoke", "attic", {})
    for n, (name, role, revoked) in enumerate(
            [("first-desk", "admin", "NULL"), ("north", "read", "NULL"), ("attic", "enroll", BEGIN + 3)]):
        insert("terminals", text(name), text(role), BEGIN + n, revoked)
        insert("terminal_keys", blob(f"{n + 1:02x}" * 32), text(name), text(name), blob(f"{n + 17:02x}" * 32), text(name),
               BEGIN + 86_400_000 * 70)
    before = {**USERS[1], "name": "Ada Lovelace", "fields": {"team": "α"}}
    for at, user in [(BEGIN + 10, USERS[0]), (BEGIN + 11, before), (BEGIN + 12, USERS[2])]:
        audit.add(at, "first-desk", "user.create", user["id"], fields(user))
    audit.add(BEGIN + 20, "first-desk", "user.change", "ada", fields(USERS[1]))
    for user, changed in zip(USERS, [BEGIN + 10, BEGIN + 20, BEGIN + 12]):
        insert("users", text(user["id"]), text(user["name"]), text(detail(user["fields"])), changed)
    tokens = [(OLD, "ada"), (ADA, "ada"), (JOSE, "josé"), (LOST, "josé")]
    for n, (token, user) in enumerate(tokens):
        replaces = OLD if token == ADA else None
        if replaces:
            audit.add(BEGIN + 100 + n, "first-desk", "token.status", OLD,
                      {"status": "revoked", "reason": f"replaced by {ADA}"})
        audit.add(BEGIN + 100 + n, "first-desk", "token.register", token, {"user": user, "replaces": replaces})
    audit.add(BEGIN + 200, "first-desk", "token.status", LOST, {"status": "suspended", "reason": None})
    audit.add(BEGIN + 300, "first-desk", "token.status", LOST, {"status": "lost", "reason": "left in a train"})
    states = {
        OLD: ("revoked", f"replaced by {ADA}", BEGIN + 101, 1, 65536),
        ADA: ("active", None, BEGIN + 101, 0, 65541),
        JOSE: ("active", None, BEGIN + 102, 0, None),
        LOST: ("lost", "left in a train", BEGIN + 300, 3, 65537),
    }
    for n, (token, user) in enumerate(tokens):
        status, reason, changed, version, counter = states[token]
        keys = [blob(f"04{n + 1 + 16 * part:02x}" + "5a" * 63) for part in range(2)]
        certificates = [blob(f"3082{n + 1 + 16 * part:02x}" + "30" * 40) for part in range(2)]
        insert("tokens", text(token), text(user), text(status), text(reason), changed, version, *keys, *certificates,
               counter or "NULL", BEGIN + 150 if counter else "NULL")
        if counter:
            insert("proofs", text(token), counter, blob(f"{n + 1:02x}" * 32), BEGIN + 150)
    lines.append("UPDATE feed SET version = 3;")
    insert("nonces", blob("a1" * 32), "'north'", BEGIN + 140, BEGIN + 150)
    insert("nonces", blob("a2" * 32), "'north'", BEGIN + 141, "NULL")
    for event in EVENTS:
        at = f"2026-11-24T08:00:0{event['seq']}.000Z"
        body = {"schema": "rollcall.event/1", "event": event["event"], "seq": event["seq"], "at": at,
                **{key: value for key, value in event.items() if key not in ("event", "seq")}}
        insert("events", "'north'", text(LIST), event["seq"], BEGIN + 10_000, text(compact(body)))
    audit.add(BEGIN + 150, "north", "lookup", ADA, {"status": "active", "proof": "fresh"})
    audit.add(BEGIN + 5000, "north", "lookup.refuse", LOST, {"status": "lost", "proof": "fresh"})
    for seq, at, actor, action, subject, more, digest in audit.rows:
        insert("audit", seq, at, *(text(part) for part in (actor, action, subject, more)), blob(digest.hex()))
    lines.append(f"UPDATE audit_head SET seq = {len(audit.rows)}, hash = {blob(audit.hash.hex())};")
    return lines


EVENTS = [
    {"event": "reader_added", "seq": 1, "reader": "North Door"},
    {"event": "arrived", "seq": 2, "reader": "North Door", "token_id": ADA, "user": USERS[1], "source": "card",
     "authenticated": True},
    {"event": "arrived", "seq": 3, "reader": "North Door", "token_id": JOSE, "user": USERS[2], "source": "server",
     "authenticated": True},
    {"event": "left", "seq": 4, "reader": "North Door", "token_id": JOSE, "user": USERS[2], "reason": "toggled"},
    {"event": "refused", "seq": 5, "reader": "North Door", "token_id": LOST,
     "error": {"code": "token.lost", "message": "this token was reported lost", "hint": None}},
]


def terminal(scripts):
    lines = [script.rstrip() for script in scripts]
    lines.append("PRAGMA user_version = 2;")
    lines.append(f"UPDATE list SET id = X'{LIST.replace('-', '')}';")

    def raw(token):
        return f"X'{token.replace('-', '')}'" if token else "NULL"

    for event in EVENTS:
        user, error = event.get("user"), event.get("error")
        known = {True: "1"}.get(event.get("authenticated"), "NULL")
        values = [event["seq"], BEGIN + 1000 * event["seq"], text(event["event"]), text(event["reader"]),
                  raw(event.get("token_id")), text(compact(user) if user else None), text(event.get("source")), known,
                  text(event.get("reason")), text(compact(error) if error else None)]
        lines.append(f"INSERT INTO events VALUES ({', '.join(str(value) for value in values)});")
    lines.append(f"INSERT INTO entries VALUES ({raw(ADA)}, {text(compact(USERS[1]))}, 'North Door', {BEGIN + 2000}, "
                 f"{BEGIN + 2000}, 'present', 'card', 1, 'toggle', NULL);")
    lines.append("INSERT INTO slots VALUES ('North Door', 1, 5, 0, NULL, NULL, NULL);")
    lines += [f"INSERT INTO denied VALUES ({text(who)});" for who in (OLD, "mallory")]
    lines += [f"INSERT INTO counters VALUES ({raw(token)}, {n});" for token, n in ((ADA, 65541), (LOST, 65537))]
    lines.append(f"INSERT INTO certificates VALUES ('identity', {raw(ADA)}, 0, X'3082015a');")
    return lines


def main():
    release, here = pathlib.Path(sys.argv[1]), pathlib.Path(__file__).parent
    table = ("CREATE TABLE _sqlx_migrations (\n    version BIGINT PRIMARY KEY,\n    description TEXT NOT NULL,\n"
             "    installed_on {time} NOT NULL DEFAULT CURRENT_TIMESTAMP,\n    success BOOLEAN NOT NULL,\n"
             "    checksum {blob} NOT NULL,\n    execution_time BIGINT NOT NULL\n);\n")
    for kind, time, blob, literal in [("sqlite", "TIMESTAMP", "BLOB", "X'{}'"), ("postgres", "TIMESTAMPTZ", "BYTEA", "'\\x{}'")]:
        script = (release / "src/server/store/migrations" / kind / "0001_begin.sql").read_text()
        lines = server(script, literal.format)
        whole = table.format(time=time, blob=blob) + script + "\n".join(lines) + "\n"
        (here / f"server-{kind}.sql").write_text(whole)
    scripts = [(release / "src/roster/store" / name).read_text() for name in ("001.sql", "002.sql")]
    (here / "terminal.sql").write_text("\n".join(terminal(scripts)) + "\n")


main()
