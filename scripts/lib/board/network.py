"""A network that can be cut, and a terminal whose board is reached over one."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading


class Proxy:
    """Takes connections at 127.0.0.2 to the same port of 127.0.0.1, until it is cut."""

    def __init__(self, address):
        self.port = int(address.rsplit(":", 1)[1])
        self.url = f"http://127.0.0.2:{self.port}/"
        self.heads = []
        self.open = set()
        self.lock = threading.Lock()
        self.is_cut = False
        self.listener = socket.create_server(("127.0.0.2", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cut()
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                if self.is_cut:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self.port))
                self.open |= {client, server}
            for source, target, note in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._carry, args=(source, target, note), daemon=True).start()

    def _carry(self, source, target, note):
        try:
            while data := source.recv(65536):
                if note:
                    self.heads.append(data.decode("latin-1"))
                target.sendall(data)
        except OSError:
            pass
        for one in (source, target):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        with self.lock:
            self.is_cut = True
            for one in self.open:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                one.close()
            self.open.clear()

    def resume(self):
        with self.lock:
            self.is_cut = False


class Office:
    """The state of a terminal with a certificate for desk.example."""

    def __init__(self, rollcall):
        self.rollcall = rollcall
        self.folder = tempfile.mkdtemp(prefix="rollcall-office-")
        self.certificate, self.key = f"{self.folder}/desk.pem", f"{self.folder}/desk.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-subj", "/CN=desk.example", "-addext", "subjectAltName=DNS:desk.example", "-out", self.certificate,
             "-keyout", self.key], check=True, capture_output=True, timeout=30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *args):
        """The objects that a command prints."""
        environment = {**os.environ, "ROLLCALL_HOME": self.folder}
        done = subprocess.run([self.rollcall, "--output", "ndjson", *args], env=environment, capture_output=True, text=True,
                              check=True, timeout=30)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def link(self, port):
        config = pathlib.Path(self.folder, "config.toml")
        # Without `listen`: the running board says where it is served.
        config.write_text('[board]\nhosts = ["desk.example"]\ncertificate = "desk.pem"\nkey = "desk.key"\n')
        link = self.run("board", "link", "--label", "the test")[0]
        assert link["url"].startswith(f"https://desk.example:{port}/#"), link["url"]
        return link
