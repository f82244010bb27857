"""The guest as a machine: QEMU, its console, and its USB port as QMP has it."""

import json
import os
import queue
import socket
import subprocess
import threading

READERS = 3


class Trouble(Exception):
    """The laboratory itself failed, not what is tried in it."""


class Qmp:
    """QEMU's control socket: commands that wait for their answer, and events."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.answers, self.events = queue.Queue(), queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.do("qmp_capabilities")

    def _read(self):
        try:
            for line in self.socket.makefile("r", encoding="utf-8"):
                message = json.loads(line)
                if "event" in message:
                    self.events.put(message)
                elif "QMP" not in message:
                    self.answers.put(message)
        except OSError:
            pass  # QEMU has ended
        self.answers.put({"error": {"desc": "QEMU has ended"}})

    def do(self, command, **arguments):
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        try:
            answer = self.answers.get(timeout=60)
        except queue.Empty:
            raise Trouble(f"QEMU does not answer {command}") from None
        if "error" in answer:
            raise Trouble(f"QEMU refused {command}: {answer['error']['desc']}")
        return answer["return"]

    def wait_event(self, name, of, seconds):
        while True:
            try:
                event = self.events.get(timeout=seconds)
            except queue.Empty:
                raise Trouble(f"QEMU said no {name} of {of}") from None
            if event["event"] == name and event.get("data", {}).get("device") == of:
                return


class Machine:
    """A running QEMU. Writes go to a copy of the disk that is gone with it."""

    def __init__(self, image, folder, sockets, port, accel, steady):
        self.sockets, self.port = sockets, port
        self.marks, self.plugged = queue.Queue(), set()
        log = os.path.join(folder, "qemu.log")
        argv = ["setpriv", "--pdeathsig", "KILL", "--", "nice", "-n", "10", "qemu-system-x86_64", "-accel", accel, "-m", "1536M"]
        # Steady: the guest's clock counts instructions, two nanoseconds each, and stops while the host is busy.
        argv += ["-smp", "1", "-icount", "shift=1", "-rtc", "clock=vm"] if steady else ["-smp", "2"]
        argv += ["-display", "none", "-nodefaults", "-no-user-config", "-kernel", os.path.join(image, "vmlinuz")]
        argv += ["-initrd", os.path.join(image, "initrd")]
        argv += ["-append", "root=/dev/vda rw console=ttyS0 quiet systemd.firstboot=off systemd.default_timeout_start_sec=900"]
        argv += ["-drive", f"file={os.path.join(image, 'disk.img')},if=virtio,format=raw,snapshot=on"]
        argv += ["-nic", f"user,restrict=on,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{port}-:22"]
        argv += ["-chardev", f"socket,id=console,path={sockets}/console,server=on,wait=off"]
        argv += ["-serial", "chardev:console", "-qmp", f"unix:{sockets}/qmp,server=on,wait=off", "-S"]
        argv += ["-device", "qemu-xhci,id=usb"]
        for number in range(READERS):
            argv += ["-chardev", f"socket,id=card{number},path={self.card_socket(number)},server=on,wait=off"]
        with open(log, "wb") as out:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        for name in ("console", "qmp"):
            self._await_socket(os.path.join(sockets, name), log)
        self.console = socket.socket(socket.AF_UNIX)
        self.console.connect(os.path.join(sockets, "console"))
        threading.Thread(target=self._listen, args=(os.path.join(folder, "console.log"),), daemon=True).start()
        self.qmp = Qmp(os.path.join(sockets, "qmp"))

    def card_socket(self, number):
        return os.path.join(self.sockets, f"card{number}")

    def _await_socket(self, path, log):
        pause = threading.Event()
        for _ in range(600):
            if os.path.exists(path):
                return
            if self.process.poll() is not None:
                break
            pause.wait(0.05)
        with open(log, encoding="utf-8", errors="replace") as said:
            raise Trouble(f"QEMU did not start: {said.read().strip()}")

    def _listen(self, log):
        """Keeps what the console says; a line with `lab: ` in it is a mark that somebody waits for."""
        rest = b""
        with open(log, "wb", buffering=0) as out:
            while data := self.console.recv(4096):
                out.write(data)
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    if b"lab: " in line:
                        self.marks.put(line.split(b"lab: ", 1)[1].strip().decode("ascii", "replace"))
        self.marks.put(None)

    def run(self):
        self.qmp.do("cont")

    def await_mark(self, mark, seconds):
        try:
            said = self.marks.get(timeout=seconds)
        except queue.Empty:
            raise Trouble(f"the guest did not come up within {seconds} s: see console.log") from None
        if said != mark:
            raise Trouble("the guest's console ended: see qemu.log")

    def plug(self, number):
        """A reader with a slot for card `number`, at the port of that number."""
        self.qmp.do("device_add", driver="usb-ccid", id=f"reader{number}", port=str(number + 1), bus="usb.0")
        self.qmp.do(
            "device_add",
            driver="ccid-card-passthru",
            id=f"slot{number}",
            chardev=f"card{number}",
            bus=f"reader{number}.0",
        )
        self.plugged.add(number)

    def unplug(self, number):
        self.qmp.do("device_del", id=f"reader{number}")
        self.qmp.wait_event("DEVICE_DELETED", f"reader{number}", 60)
        self.plugged.discard(number)

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
