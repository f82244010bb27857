"""Pairs of free TCP ports, without races between stacks that start together."""

import random
import socket

# Below the kernel's ephemeral ports, so that no client connection takes one between our check and vpcd's bind.
FIRST, LAST = 20000, 29998


class Lease:
    """`count` pairs of ports that no other stack in this network namespace uses.

    The lock is an abstract UNIX socket named after the pair. It is seen by all users, lives in the same namespace as
    the ports, and ends with its process, however that ends.
    """

    def __init__(self, count):
        self.locks = []
        self.first_ports = []
        candidates = random.SystemRandom().sample(range(FIRST, LAST, 2), (LAST - FIRST) // 2)
        for port in candidates:
            if len(self.first_ports) == count:
                return
            lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                lock.bind(f"\0rollcall-vpcd-{port}")
            except OSError:
                lock.close()
                continue
            if _free(port) and _free(port + 1):
                self.locks.append(lock)
                self.first_ports.append(port)
            else:
                lock.close()
        self.release()
        raise OSError("no free TCP ports between 20000 and 29999")

    def release(self):
        for lock in self.locks:
            lock.close()
        self.locks = []


def _free(port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # vpcd sets this too; without it, connections of an earlier stack that are still closing would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
        return True
