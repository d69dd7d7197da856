"""What somebody who listens in costs: the server's processor time with and without listeners.

One campaign holds the same number of calls all the time. In turns nobody listens, and every call is
listened to by several at once; the difference of the server's processor time is theirs.

    python3 tests/scenario/listeners.py --binary target/release/dialtone --work DIR

A machine that has nothing else to do tells most. Ends with 1 when a listener costs more than 1 % of a
processor, or when nobody heard anything.
"""

import argparse
import json
import os
import platform
import selectors
import signal
import socket
import statistics
import sys
import threading
import time

from installation import (
    Api,
    Processes,
    Report,
    Server,
    Simulator,
    numbers_from,
    settings_for_speed,
    store_settings,
    wait_for,
    write_people,
)

# Of a processor, for each listener.
LIMIT = 0.01
SETTLING_S = 2
# Two messages for each 20 ms, of 160 bytes and a few more.
BYTES_A_SECOND = 2 * 50 * 160


class Listeners:
    """Sockets that take what comes and count its bytes, in a thread of their own."""

    def __init__(self, server, api):
        self.server = server
        self.api = api
        self.selector = selectors.DefaultSelector()
        self.n_bytes = 0
        # The sockets are added and left by another thread than takes from them.
        self.lock = threading.Lock()
        threading.Thread(target=self.take, daemon=True).start()

    def add(self, call):
        """Asks to listen to a call; says whether it was taken."""
        opened = socket.create_connection(("127.0.0.1", self.server.port), timeout=5)
        head = [
            f"GET /api/v1/calls/{call}/listen HTTP/1.1",
            f"Host: 127.0.0.1:{self.server.port}",
            f"Authorization: Bearer {self.api.token}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ]
        opened.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
        if b" 101 " not in opened.recv(4096).split(b"\r\n")[0]:
            opened.close()
            return False
        opened.setblocking(False)
        with self.lock:
            self.selector.register(opened, selectors.EVENT_READ)
        return True

    def take(self):
        while True:
            with self.lock:
                for key, _ in self.selector.select(timeout=0):
                    self.take_from(key.fileobj)
            time.sleep(0.01)

    def take_from(self, opened):
        try:
            received = opened.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        self.n_bytes += len(received)
        if not received:
            self.selector.unregister(opened)
            opened.close()

    def n_open(self):
        return len(self.selector.get_map())

    def leave(self):
        with self.lock:
            for key in list(self.selector.get_map().values()):
                self.selector.unregister(key.fileobj)
                key.fileobj.close()


def processor_seconds(pid):
    """What a process has used until now, in its own name and the kernel's."""
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def live(api):
    calls = api.get("/calls?limit=500&open=true")["items"]
    return [call["id"] for call in calls if call["state"] == "connected"]


def window(pid, listeners, seconds):
    """Processor seconds per second, listeners on average, and bytes heard per second, of a while."""
    began, used, heard = time.monotonic(), processor_seconds(pid), listeners.n_bytes
    n_open = []
    while time.monotonic() < began + seconds:
        n_open.append(listeners.n_open())
        time.sleep(0.1)
    passed = time.monotonic() - began
    used = processor_seconds(pid) - used
    return used / passed, statistics.mean(n_open), (listeners.n_bytes - heard) / passed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--work", required=True, help="a directory to make, for logs and records")
    parser.add_argument("--calls", type=int, default=25)
    parser.add_argument("--listeners", type=int, default=3, help="for each call")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=6)
    options = parser.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = Report()
    processes = Processes(options.binary, options.work)
    try:
        simulator = Simulator(processes, 1, 1)
        env = simulator.env | settings_for_speed(1) | store_settings(processes, None)
        env |= {"DIALTONE_CALLS_PER_SECOND": "20", "DIALTONE_MAX_CONCURRENT_CALLS": "500"}
        server = Server(processes, env)
        server.start()
        api = Api(server.url)
        people = processes.work / "people.csv"
        write_people(people, numbers_from(0, 2000))
        settings = {"maxConcurrentCalls": options.calls, "callsPerSecond": 20}
        campaign = api.start_from_csv(people, settings)["campaign"]["id"]
        listeners = Listeners(server, api)
        wait_for(lambda: len(live(api)) > options.calls / 3, 60)
        rounds = []
        for _ in range(options.rounds):
            without = window(server.child.pid, listeners, options.seconds)
            for call in live(api):
                for _ in range(options.listeners):
                    listeners.add(call)
            time.sleep(SETTLING_S)
            rounds.append((without, window(server.child.pid, listeners, options.seconds)))
            listeners.leave()
            time.sleep(SETTLING_S)
        api.post(f"/campaigns/{campaign}/stop")
        costs = [(busy[0] - idle[0]) / busy[1] for idle, busy in rounds if busy[1]]
        heard = [busy[2] / (busy[1] * BYTES_A_SECOND) for _, busy in rounds if busy[1]]
        report.check("there were listeners in each round", len(costs) == options.rounds, rounds)
        cost = statistics.median(costs) if costs else None
        report.check("a listener costs at most 1 % of a processor", costs and cost <= LIMIT, cost)
        report.check("listeners heard both sides", heard and min(heard) > 0.3, heard)
        facts = {
            "processor": platform.processor() or platform.machine(),
            "processors": os.cpu_count(),
            "listeners": [round(busy[1], 1) for _, busy in rounds],
            "processorWithout": [round(idle[0], 4) for idle, _ in rounds],
            "processorWith": [round(busy[0], 4) for _, busy in rounds],
            "shareOfBothSidesHeard": [round(share, 2) for share in heard],
            "processorPerListener": round(cost, 5) if costs else None,
        }
        print(json.dumps(facts), flush=True)
    finally:
        processes.stop()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
