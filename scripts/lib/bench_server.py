"""Lookups a second, for scripts/bench --server. Runs inside scripts/with-postgres.

Every build has a store of its own of each kind, with the same users; in each round everything is measured once, one after
the other, so that what the machine does besides falls on all alike. The table has medians, and the ratios to nginx and to
the other build. Users and tokens come by SQL, for only lookups are measured. The processor time of a request, of the server,
of PostgreSQL and of the load, says more than a rate where the machine has other things to do.

With --flat the same build stands over stores of different sizes: few users, many users, and few users with a long audit log
and many used proofs."""

import argparse
import json
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

_TOKEN = "00000000-0000-4000-8000-%012x"
_BODIES = 2000
_LOOKUPS = (1, 8, 64)
_HEALTH = (8, 64)
_PROOFS = (8, 64)
# Number of tokens that present proofs, and of proofs prepared per second at most.
_PROVEN = 256
_PROOFS_A_SECOND = 8000
# More connections than any site has terminals, to measure memory.
_MANY = 1024
_TICK = os.sysconf("SC_CLK_TCK")
_NGINX_PORT = 7444
_LIMIT = 60
_ANSWER = json.dumps({"token_id": _TOKEN % 1, "status": "active", "user": {"id": "u0000001", "name": "Person 1", "fields": {}}})

_USERS = "INSERT INTO users (id, name, fields, changed) "
_RECORDS = "INSERT INTO audit (seq, at, actor, action, subject, detail, hash) "
_PROOFS_USED = "INSERT INTO proofs (token_id, counter, claims, at) "
_SUBJECT_POSTGRES = "'00000000-0000-4000-8000-' || lpad(to_hex(1 + n % {}), 12, '0')"
_DETAIL = '{"proof":null,"status":"active"}'
_TOKENS = ("INSERT INTO tokens (token_id, user_id, status, changed, version, identity_key, ecka_key, identity_certificate,"
           " ecka_certificate) ")


def main():
    given = arguments()
    folder = tempfile.mkdtemp(prefix="rollcall-bench.")
    servers = []
    try:
        kinds = ("sqlite", "postgres")
        if given.flat:
            sizes = [Size("few", 1000), Size("many", given.users), Size("long", 1000, 10 * given.users, given.users)]
            servers = [Server(folder, kind, given.rollcall, size) for kind in kinds for size in sizes]
            for server in servers:
                server.requests = [request for request in server.requests if request[0] != "health"]
        else:
            builds = {"this": given.rollcall} | ({"before": given.before} if given.before else {})
            for build, program in builds.items():
                servers += [Server(folder, kind, program, Size(build, given.users)) for kind in kinds]
            servers.append(Nginx(folder, servers[0].pki))
        print(f"load average before: {load_average()}", file=sys.stderr)
        figures = measure(given, servers)
        if not given.flat:
            two(given, servers, figures)
        table(figures, given)
        if not given.flat:
            memory(given, servers)
        print(f"load average after: {load_average()}", file=sys.stderr)
    finally:
        for server in servers:
            server.end()
        subprocess.run(["rm", "-rf", "--", folder], check=True)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("users", type=int, nargs="?")
    parser.add_argument("seconds", type=float, nargs="?", default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before")
    parser.add_argument("--flat", action="store_true")
    parser.add_argument("--rollcall", required=True)
    parser.add_argument("--load", required=True)
    given = parser.parse_args()
    given.users = given.users or (1_000_000 if given.flat else 100_000)
    return given


class Size:
    """What is in a store."""

    def __init__(self, name, users, records=0, proofs=0):
        self.name, self.users, self.records, self.proofs = name, users, records, proofs


class Server:
    """A server of one build on one store."""

    def __init__(self, folder, kind, program, size):
        self.name, self.kind, self.users, self.program = f"{kind}, {size.name}", kind, size.users, program
        home = os.path.join(folder, f"{kind}-{size.name}")
        self.pki = os.path.join(home, "pki")
        if kind == "sqlite":
            self.store = f"sqlite://{home}/server.db"
        else:
            base, options = os.environ["ROLLCALL_TEST_POSTGRES"].split("?")
            psql(os.environ["ROLLCALL_TEST_POSTGRES"], f"CREATE DATABASE bench_{size.name}")
            self.store = f"{base.rsplit('/', 1)[0]}/bench_{size.name}?{options}"
        self.environment = os.environ | {
            "ROLLCALL_HOME": home, "ROLLCALL_SERVER_STORE": self.store, "ROLLCALL_SERVER_RATE": "0",
        }
        for command in (["pki", "init"], ["server", "init"]):
            subprocess.run([program, *command], env=self.environment, check=True, capture_output=True)
        self.fill(size)
        self.process, self.port = self.start()
        self.requests = [("lookups", n, ["POST", "/v1/lookups"]) for n in _LOOKUPS]
        self.requests += [("proofs", n, ["proofs", str(_PROVEN)]) for n in _PROOFS]
        self.requests += [("health", n, ["GET", "/v1/health"]) for n in _HEALTH]

    def start(self):
        process = subprocess.Popen([self.program, "server", "run", "--listen", "127.0.0.1:0", "--output", "ndjson"],
                                   env=self.environment, stdout=subprocess.PIPE)
        return process, int(json.loads(process.stdout.readline())["listening"].rsplit(":", 1)[1])

    def fill(self, size):
        if self.kind == "sqlite":
            fill_sqlite(self.store.removeprefix("sqlite://"), size)
            return
        series = "FROM generate_series(1, {}) n"
        psql(self.store, f"""
            {_USERS} SELECT 'u' || lpad(n::text, 7, '0'), 'Person ' || n, '{{"team":"a"}}', 0 {series.format(size.users)};
            {_TOKENS} SELECT '00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'), 'u' || lpad(n::text, 7, '0'), 'active',
                0, 0, '\\x04', '\\x04', '\\x30', '\\x30' {series.format(size.users)};
            DELETE FROM audit WHERE {size.records} > 0;
            {_RECORDS} SELECT n, 0, 'door', 'lookup', {_SUBJECT_POSTGRES.format(size.users)}, '{_DETAIL}', decode(md5(n::text), 'hex')
                {series.format(size.records)};
            {_PROOFS_USED} SELECT {_SUBJECT_POSTGRES.format(size.users)}, 65536 + n, decode(md5(n::text), 'hex'), 0
                {series.format(size.proofs)};
            UPDATE audit_head SET seq = {size.records} WHERE {size.records} > 0;""")
        psql(self.store, "VACUUM ANALYZE")

    def bodies(self):
        random.seed(7)
        return [json.dumps({"token_id": _TOKEN % random.randint(1, self.users)}) for _ in range(_BODIES)]

    def memory(self):
        """The most it ever had, and what of that it has now that is not pages of the program's file; in MiB."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            fields = dict(line.split(":", 1) for line in status)
        return [int(fields[name].split()[0]) // 1024 for name in ("VmHWM", "RssAnon")]

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(_LIMIT)


class Nginx:
    """The same TLS, a certificate from the client, and an answer that costs nothing."""

    def __init__(self, folder, pki):
        self.name, self.kind, self.build, self.port, self.pki = "nginx", "nginx", None, _NGINX_PORT, pki
        self.requests = [("static", n, ["GET", "/"]) for n in _LOOKUPS]
        paths = "".join(f"{name}_temp_path {folder}/{name}; " for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        conf = os.path.join(folder, "nginx.conf")
        with open(conf, "w", encoding="ascii") as out:
            out.write(f"""worker_processes auto;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    {paths}
    server {{
        listen 127.0.0.1:{self.port} ssl;
        ssl_protocols TLSv1.3;
        ssl_session_tickets off;
        ssl_certificate {pki}/server.crt;
        ssl_certificate_key {pki}/server.key;
        ssl_client_certificate {pki}/ca.crt;
        ssl_verify_client on;
        location / {{ default_type application/json; return 200 '{_ANSWER}'; }}
    }}
}}
""")
        self.process = subprocess.Popen(["nginx", "-c", conf], stderr=subprocess.DEVNULL)
        until = time.monotonic() + _LIMIT
        while not os.path.exists(f"{folder}/nginx.pid"):
            if time.monotonic() > until or self.process.poll() is not None:
                raise SystemExit("nginx does not start")
            time.sleep(0.05)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(_LIMIT)


def fill_sqlite(file, size):
    series = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s LIMIT {0}) SELECT {1} FROM s WHERE {0} > 0"
    subject = f"printf('{_TOKEN}', 1 + n % {size.users})"
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.executemany(_USERS + "VALUES (?, ?, '{\"team\":\"a\"}', 0)",
                       ((f"u{n:07}", f"Person {n}") for n in range(1, size.users + 1)))
        db.executemany(_TOKENS + "VALUES (?, ?, 'active', 0, 0, x'04', x'04', x'30', x'30')",
                       ((_TOKEN % n, f"u{n:07}") for n in range(1, size.users + 1)))
        record = f"n, 0, 'door', 'lookup', {subject}, '{_DETAIL}', randomblob(32)"
        # Creating the store was recorded in the audit log too; remove that.
        db.execute("DELETE FROM audit WHERE ? > 0", (size.records,))
        db.execute(_RECORDS + series.format(size.records, record))
        db.execute(_PROOFS_USED + series.format(size.proofs, f"{subject}, 65536 + n, randomblob(32), 0"))
        db.execute("UPDATE audit_head SET seq = ? WHERE ? > 0", (size.records, size.records))
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def psql(url, script):
    subprocess.run(["psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", url], input=script.encode(), check=True)


def load_average():
    with open("/proc/loadavg", encoding="ascii") as said:
        return " ".join(said.read().split()[:3])


def processor_time(processes):
    """Of these processes, in seconds."""
    ticks = 0
    for process in processes:
        try:
            with open(f"/proc/{process}/stat", encoding="ascii", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        # User and system time, including children that have ended.
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICK


def postgres_processes():
    """The postmaster and its children."""
    said = subprocess.run(["psql", "--quiet", "--no-psqlrc", "--tuples-only", "--no-align", "--command=SHOW data_directory",
                           os.environ["ROLLCALL_TEST_POSTGRES"]], check=True, capture_output=True)
    with open(os.path.join(said.stdout.decode().strip(), "postmaster.pid"), encoding="ascii") as pid:
        postmaster = int(pid.readline())
    with open(f"/proc/{postmaster}/task/{postmaster}/children", encoding="ascii") as children:
        return [postmaster, *(int(child) for child in children.read().split())]


def command(given, server, port, what, connections, request):
    argv = [given.load, server.pki, str(port), str(connections), str(given.seconds), *request]
    if what == "lookups":
        return argv + server.bodies()
    return argv + ([str(round(_PROOFS_A_SECOND * given.seconds))] if what == "proofs" else [])


def once(given, server, what, connections, request):
    """What the load program said, and the processor time of a request."""
    process, store = [server.process.pid], postgres_processes() if server.kind == "postgres" else []
    if server.kind == "nginx":
        with open(f"/proc/{process[0]}/task/{process[0]}/children", encoding="ascii") as children:
            process += [int(child) for child in children.read().split()]
    load = subprocess.Popen(command(given, server, server.port, what, connections, request), stdout=subprocess.PIPE,
                            stdin=subprocess.PIPE)
    # It prints a line when its preparation (not measured) is done, and waits for a line before it starts.
    load.stdout.readline()
    before = processor_time(process), processor_time(store)
    said, _ = load.communicate(b"\n", 600)
    if load.returncode != 0:
        raise SystemExit("the load failed")
    said = json.loads(said)
    after = processor_time(process), processor_time(store)
    for name, one, other in zip(("server_us", "store_us"), before, after):
        said[name] = (other - one) * 1e6 / said["requests"]
    return said


def measure(given, servers):
    """What the load program said: by server, what was asked, and connections, one entry a round."""
    figures = {}
    for number in range(given.rounds):
        print(f"round {number + 1} of {given.rounds}", file=sys.stderr)
        for server in servers:
            for what, connections, request in server.requests:
                figures.setdefault((server.name, what, connections), []).append(once(given, server, what, connections, request))
    return figures


def two(given, servers, figures):
    """One process and two on one PostgreSQL, by turns: 64 connections, or 32 to each."""
    server = next(server for server in servers if server.name == "postgres, this")
    process, port = server.start()
    request = ["POST", "/v1/lookups"]
    for _ in range(given.rounds):
        figures.setdefault(("one process", "lookups", 64), []).append(once(given, server, "lookups", 64, request))
        loads = [subprocess.Popen(command(given, server, at, "lookups", 32, request), stdout=subprocess.PIPE,
                                  stdin=subprocess.PIPE) for at in (server.port, port)]
        for load in loads:
            load.stdout.readline()
        for load in loads:
            load.stdin.write(b"\n")
            load.stdin.flush()
        said = [json.loads(load.communicate(timeout=600)[0]) for load in loads]
        both = {name: max(one[name] for one in said) for name in ("p50_ms", "p99_ms", "load_us")}
        both |= {"per_second": sum(one["per_second"] for one in said), "server_us": 0, "store_us": 0}
        figures.setdefault(("two processes", "lookups", 64), []).append(both)
    process.send_signal(signal.SIGTERM)
    process.wait(_LIMIT)


def table(figures, given):
    def median(key, field="per_second"):
        return statistics.median(one[field] for one in figures[key]) if key in figures else None

    def ratio(a, b):
        return f"{a / b:6.2f}" if a and b else "     -"

    other = "few" if given.flat else "before"
    print(f"{'':<18} {'':<8} {'conn':>4} {'a second':>9} {'p50 ms':>7} {'p99 ms':>7} {'server':>7} {'store':>7} {'load':>7}"
          f" {'/ nginx':>7} {'/ ' + other:>8}")
    for name, what, connections in figures:
        key = (name, what, connections)
        rate = median(key)
        before = None
        if ", " in name and not name.endswith(other):
            before = median((f"{name.split(', ')[0]}, {other}", what, connections))
        if name == "two processes":
            before = median(("one process", what, connections))
        nginx = median(("nginx", "static", connections)) if name != "nginx" else None
        times = " ".join(f"{median(key, field):>7.{digits}f}" for field, digits in
                         (("p50_ms", 2), ("p99_ms", 2), ("server_us", 1), ("store_us", 1), ("load_us", 1)))
        print(f"{name:<18} {what:<8} {connections:>4} {rate:>9.0f} {times} {ratio(rate, nginx):>7} {ratio(rate, before):>8}")
    print("server, store, load: microseconds of processor time of one request; two processes: beside one")


def memory(given, servers):
    for server in servers:
        if not isinstance(server, Server):
            continue
        before = server.memory()
        once(given, server, "lookups", _MANY, ["POST", "/v1/lookups"])
        after = server.memory()
        print(f"{server.name:<18} memory   {before[0]} MiB at most, {after[0]} MiB with {_MANY} connections, {after[1]} MiB of it private")


if __name__ == "__main__":
    main()
