"""A real Chromium, driven by chromedriver over WebDriver (W3C) and its commands for the DevTools protocol."""

import base64
import http.client
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--disable-dev-shm-usage", "--enable-precise-memory-info", "--force-color-profile=srgb", "--lang=en-GB",
]


class Browser:
    """One window. Everything is bounded by `patience` seconds."""

    def __init__(self, width=1440, height=900, patience=20, arguments=(), language="en-GB"):
        self.patience = patience
        self.folder = tempfile.mkdtemp(prefix="rollcall-board-")
        self.process = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.port = None
        for line in self.process.stdout:
            if "started successfully on port " in line:
                self.port = int(line.rsplit("on port ", 1)[1].strip().rstrip("."))
                break
        options = {
            "args": [*ARGUMENTS, f"--user-data-dir={self.folder}", f"--window-size={width},{height}", *arguments],
            "binary": shutil.which("chromium"),
            "prefs": {"intl.accept_languages": language},
        }
        session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.session = session["sessionId"]
        self.version = session["capabilities"]["browserVersion"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._call("DELETE", f"/session/{self.session}")
        finally:
            self.process.terminate()
            self.process.wait(10)
            shutil.rmtree(self.folder, ignore_errors=True)

    def _call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=max(60, 3 * self.patience))
        connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
        value = json.loads(connection.getresponse().read())["value"]
        connection.close()
        if isinstance(value, dict) and "error" in value:
            raise RuntimeError(f"{value['error']}: {value['message'].splitlines()[0]}")
        return value

    def _do(self, method, path, body=None):
        return self._call(method, f"/session/{self.session}{path}", body)

    def open(self, url):
        self._do("POST", "/url", {"url": url})

    def run(self, script, *args):
        """The value of a function's body."""
        return self._do("POST", "/execute/sync", {"script": script, "args": list(args)})

    def run_async(self, script, *args):
        """The same, for a body that calls its last argument with the value."""
        return self._do("POST", "/execute/async", {"script": script, "args": list(args)})

    def devtools(self, command, **params):
        return self._do("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def until(self, script, *args, what=None):
        """Waits, bounded, until the script has a true value, and gives it back.

        What reads an element that is not there yet is not true yet.
        """
        end = time.monotonic() + self.patience
        while True:
            value = absent = None
            try:
                value = self.run(script, *args)
            except RuntimeError as error:
                if not re.search("Cannot read properties of (null|undefined)", str(error)):
                    raise
                absent = error
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f"did not come true in {self.patience} s: {what or script}") from absent
            time.sleep(0.03)

    def size(self, width, height, scale=1, mobile=False):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile)

    def media(self, **features):
        self.devtools("Emulation.setEmulatedMedia", features=[
            {"name": name.replace("_", "-"), "value": value} for name, value in features.items()])

    def keys(self, *keys):
        """Presses keys one after the other, as a keyboard does."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._do("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def screenshot(self, path):
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self._do("GET", "/screenshot")))

    def pdf(self, path):
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.devtools("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"]))
        return path

    def console(self):
        """What the page complained about."""
        return [entry["message"] for entry in self._do("POST", "/se/log", {"type": "browser"}) if entry["level"] == "SEVERE"]

    def heap(self):
        """Bytes of living objects, after all that is garbage was collected."""
        self.devtools("HeapProfiler.collectGarbage")
        return self.devtools("Runtime.getHeapUsage")["usedSize"]


class Feed:
    """The example `board`: a board that is fed by this program."""

    def __init__(self, program, people, address="127.0.0.1:0", **options):
        told = [f"{key}={value}" for key, value in options.items()]
        self.process = subprocess.Popen([program, address, str(people), *told], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.url = json.loads(self.process.stdout.readline())["url"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def tell(self, **command):
        self.start(**command)
        return self.answer()

    def start(self, **command):
        """Begins something that takes a while; `answer` waits for its end."""
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        assert line, "the board has ended"
        return json.loads(line)["seq"]

    def stop(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait(10)
        self.process.stdout.close()

    @property
    def address(self):
        return self.url.split("//", 1)[1].rstrip("/")
