#!/usr/bin/env python3
"""Writes the stores of release 0.1.0 beside this file: `make.py FOLDER`, with the sources of that release in FOLDER.

The tables are its own scripts, as they stand there; the rows are what it wrote into them, made here by other code: also the
chain of the audit log. @AUTHORITY@ stands for the key identifier of the CA that the store belongs to, in hexadecimal digits.

`FOLDER/scripts/with-readers --readers 2 --card none -- python3 make.py FOLDER home` makes the folders `home` and `cards` anew,
with that release itself: `ROLLCALL_BIN` names a build of it. Every run makes other keys. They are in use nowhere else.
"""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

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


CONFIG = """\
# Every setting of 0.1.0 but the server's address and the PKCS#11 key, as its README and its tests write them.
output = "text"
color = "never"
source = "card"
reader = ["front desk", "00 01"]
verbose = false
stale_after = "90s"
heartbeat = "1s"
on_event = "cat >> \\"$ROLLCALL_HOME/told.ndjson\\""

[alias]
"front desk" = "*Virtual 01 00 00"

[presence]
default = "field"
"front desk" = "until:8h"
"00 01" = "toggle"

[limits]
exchange = "5000ms"
on_event = "1m"
tap = "20s"

[server]
feed_max_age = "24h"
offline_max_age = "8h"
timeout = "5s"
listen = "127.0.0.1:7443"
store = "sqlite:///var/lib/rollcall/server.db"
rate = 200
connections = 1024
"""
PEOPLE = "id,name,room,note\n7,=SUM(1;2),B2,\njosé,José Núñez,,\"says \"\"it's\"\"\"\nada,Ada King,B17,\n"


def home():
    """A terminal with its CA, on 24 November. Of three people one has his card, and one card was lifted half-way."""
    here = pathlib.Path(__file__).resolve().parent
    folder, cards = here / "home", here / "cards"
    for made in (folder, cards):
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
    port = os.environ["VPCD_PORTS"].split()[0]
    clock = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    then = {"LD_PRELOAD": str(clock), "FAKETIME": "@2026-11-24 09:00:00", "TZ": "UTC", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
    environment = {**os.environ, "ROLLCALL_HOME": str(folder), **then}

    def begin(*args):
        return subprocess.Popen(["rollcall", *args], env=environment, cwd=folder)

    def run(status, *args):
        found = begin(*args).wait()
        assert found == status, (args, found)

    def put(name, *args):
        card = begin("virtual-token", "--connect", f"127.0.0.1:{port}", "--state", str(cards / f"{name}.json"),
                     "--start-key-file", "pki/start.key", *args)
        while b'"present"' not in subprocess.check_output(["rollcall", "readers", "-o", "ndjson"], env=environment):
            assert card.poll() is None
        return card

    def lift(card):
        card.kill()
        card.wait()
        while b'"present"' in subprocess.check_output(["rollcall", "readers", "-o", "ndjson"], env=environment):
            pass

    (folder / "config.toml").write_text(CONFIG)
    (folder / "people.csv").write_text(PEOPLE)
    run(0, "pki", "init")
    card = put("7")
    run(1, "enroll", "--from", "people.csv", "--timeout", "3s")
    run(0, "scan", "--count", "1", "--timeout", "9s", "--out", "reads.csv", "-o", "csv")
    lift(card)
    card = put("jose")
    batch = begin("enroll", "--from", "people.csv")
    while not any('"certified"' in file.read_text() for file in folder.glob("enrollments/*.json")):
        assert batch.poll() is None
        time.sleep(0.001)
    batch.kill()
    batch.wait()
    lift(card)
    card = put("private", "--uid", "random")
    run(0, "enroll", "--id", "p1", "--name", "Grace Hopper", "--set-size", "32")
    lift(card)
    # terminal.sql has a store with more in it; locks are empty.
    for file in [*folder.glob("terminal.db*"), *folder.rglob("*.lock"), *cards.glob("*.lock")]:
        file.unlink()


def main():
    if sys.argv[2:] == ["home"]:
        return home()
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
