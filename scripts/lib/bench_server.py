"""Lookups a second, for scripts/bench --server. Runs inside scripts/with-postgres.

Every build has a store of its own of each kind, with the same users; in each round everything is measured once, one after
the other, so that what the machine does besides falls on all alike. The table has medians, and the ratios to nginx and to
the other build. Users and tokens come by SQL, for only lookups are measured."""

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
_NGINX_PORT = 7444
_LIMIT = 60
_ANSWER = json.dumps({"token_id": _TOKEN % 1, "status": "active", "user": {"id": "u0000001", "name": "Person 1", "fields": {}}})

_USERS = "INSERT INTO users (id, name, fields, changed) "
_TOKENS = ("INSERT INTO tokens (token_id, user_id, status, changed, version, identity_key, ecka_key, identity_certificate,"
           " ecka_certificate) ")


def main():
    given = arguments()
    folder = tempfile.mkdtemp(prefix="rollcall-bench.")
    servers = []
    try:
        builds = {"this": given.rollcall} | ({"before": given.before} if given.before else {})
        for build, program in builds.items():
            servers += [Server(folder, kind, build, program, given.users) for kind in ("sqlite", "postgres")]
        nginx = Nginx(folder, servers[0].pki)
        servers.append(nginx)
        random.seed(7)
        bodies = [json.dumps({"token_id": _TOKEN % random.randint(1, given.users)}) for _ in range(_BODIES)]
        figures = measure(given, servers, bodies)
        table(figures, servers)
    finally:
        for server in servers:
            server.end()
        subprocess.run(["rm", "-rf", "--", folder], check=True)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("users", type=int, nargs="?", default=100_000)
    parser.add_argument("seconds", type=float, nargs="?", default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before")
    parser.add_argument("--rollcall", required=True)
    parser.add_argument("--load", required=True)
    return parser.parse_args()


class Server:
    """A server of one build on one kind of store."""

    def __init__(self, folder, kind, build, program, users):
        self.name, self.kind, self.build = f"{kind}, {build}", kind, build
        home = os.path.join(folder, f"{kind}-{build}")
        self.pki = os.path.join(home, "pki")
        if kind == "sqlite":
            self.store = f"sqlite://{home}/server.db"
        else:
            base, options = os.environ["ROLLCALL_TEST_POSTGRES"].split("?")
            psql(os.environ["ROLLCALL_TEST_POSTGRES"], f"CREATE DATABASE bench_{build}")
            self.store = f"{base.rsplit('/', 1)[0]}/bench_{build}?{options}"
        self.environment = os.environ | {
            "ROLLCALL_HOME": home, "ROLLCALL_SERVER_STORE": self.store, "ROLLCALL_SERVER_RATE": "0",
        }
        for command in (["pki", "init"], ["server", "init"]):
            subprocess.run([program, *command], env=self.environment, check=True, capture_output=True)
        self.fill(users)
        self.process = subprocess.Popen([program, "server", "run", "--listen", "127.0.0.1:0", "--output", "ndjson"],
                                        env=self.environment, stdout=subprocess.PIPE)
        self.port = int(json.loads(self.process.stdout.readline())["listening"].rsplit(":", 1)[1])
        self.requests = [("lookups", n, ["POST", "/v1/lookups"]) for n in _LOOKUPS]
        self.requests += [("health", n, ["GET", "/v1/health"]) for n in _HEALTH]

    def fill(self, users):
        if self.kind == "sqlite":
            with sqlite3.connect(self.store.removeprefix("sqlite://")) as db:
                db.executemany(_USERS + "VALUES (?, ?, '{\"team\":\"a\"}', 0)",
                               ((f"u{n:07}", f"Person {n}") for n in range(1, users + 1)))
                db.executemany(_TOKENS + "VALUES (?, ?, 'active', 0, 0, x'04', x'04', x'30', x'30')",
                               ((_TOKEN % n, f"u{n:07}") for n in range(1, users + 1)))
            return
        series = f"FROM generate_series(1, {users}) n"
        psql(self.store, f"""
            {_USERS} SELECT 'u' || lpad(n::text, 7, '0'), 'Person ' || n, '{{"team":"a"}}', 0 {series};
            {_TOKENS} SELECT '00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'), 'u' || lpad(n::text, 7, '0'), 'active',
                0, 0, '\\x04', '\\x04', '\\x30', '\\x30' {series};
            ANALYZE users; ANALYZE tokens;""")

    def memory(self):
        """The most it ever had, in MiB."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM"))

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


def psql(url, script):
    subprocess.run(["psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", url], input=script.encode(), check=True)


def measure(given, servers, bodies):
    """What the load program said: by server, what was asked, and connections, one entry a round."""
    figures = {}
    for number in range(given.rounds):
        print(f"round {number + 1} of {given.rounds}", file=sys.stderr)
        for server in servers:
            files = [os.path.join(server.pki, name) for name in ("terminal-tls.crt", "terminal-tls.key", "ca.crt")]
            for what, connections, request in server.requests:
                argv = [given.load, *files, str(server.port), str(connections), str(given.seconds), *request]
                said = subprocess.run(argv + (bodies if what == "lookups" else []), check=True, capture_output=True)
                figures.setdefault((server.name, what, connections), []).append(json.loads(said.stdout))
    return figures


def table(figures, servers):
    def median(key, field="per_second"):
        return statistics.median(one[field] for one in figures[key]) if key in figures else None

    def ratio(a, b):
        return f"{a / b:6.2f}" if a and b else "     -"

    print(f"{'':<18} {'':<8} {'conn':>4} {'a second':>9} {'p50 ms':>7} {'p99 ms':>7} {'/ nginx':>7} {'/ before':>8}")
    for name, what, connections in figures:
        key = (name, what, connections)
        rate = median(key)
        before = median((name.replace(", this", ", before"), what, connections)) if ", this" in name else None
        nginx = median(("nginx", "static", connections)) if name != "nginx" else None
        print(f"{name:<18} {what:<8} {connections:>4} {rate:>9.0f} {median(key, 'p50_ms'):>7.2f} {median(key, 'p99_ms'):>7.2f}"
              f" {ratio(rate, nginx):>7} {ratio(rate, before):>8}")
    for server in servers:
        if isinstance(server, Server):
            print(f"{server.name:<18} memory   {server.memory()} MiB at most")


if __name__ == "__main__":
    main()
