"""Dialtone as it is deployed: simulator, servers and what stands in front of them, as processes.

Everything here is started on free ports of this machine and stopped by its own process id.
"""

import asyncio
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

EMAIL = "operator@example.com"
PASSWORD = "a password for tests"

# Reaches this machine only, whatever proxies the environment names.
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Report:
    """Counts checks and says which failed."""

    def __init__(self):
        self.n_passed = 0
        self.n_failed = 0

    def check(self, what, holds, detail=""):
        if holds:
            self.n_passed += 1
            print(f"ok      {what}", flush=True)
        else:
            self.n_failed += 1
            print(f"FAILED  {what}: {detail}", flush=True)

    def finish(self):
        print(f"{self.n_passed} passed, {self.n_failed} failed", flush=True)
        return 1 if self.n_failed or not self.n_passed else 0


class Processes:
    """What was started, to be stopped again."""

    def __init__(self, binary, work):
        self.binary = str(Path(binary).resolve())
        self.work = Path(work).resolve()
        self.work.mkdir(parents=True)
        self.children = []

    def start(self, arguments, env, **options):
        # A .env of the developer's is found from the working directory upwards, so that is one
        # without: the root of the file system.
        command = [self.binary, *arguments]
        env = env | {"PATH": os.environ["PATH"]}
        child = subprocess.Popen(command, env=env, cwd="/", **options)
        self.children.append(child)
        return child

    def stop(self):
        """Ends what is left, each by its own id."""
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()


class Simulator:
    """The carrier, the people and the agent."""

    def __init__(self, processes, seed, speed, faults=None):
        log = open(processes.work / "simulator.log", "wb")
        arguments = ["simulate", "--listen", "127.0.0.1:0", "--seed", str(seed)]
        arguments += ["--speed", str(speed), "--calls-per-second", "100"]
        if faults:
            arguments += ["--faults", json.dumps(faults)]
        child = processes.start(arguments, {}, stdout=subprocess.PIPE, stderr=log)
        # What it names for a dialer; the rules come last.
        self.env = {}
        while "DIALTONE_RULE_PROFILE" not in self.env:
            line = child.stdout.readline().decode().strip()
            if not line:
                sys.exit(f"the simulator did not start: see {log.name}")
            name, _, value = line.partition("=")
            self.env[name] = value
        self.url = self.env["TWILIO_BASE_URL"]

    def ledger(self):
        return get_json(f"{self.url}/sim/ledger")

    def calls(self):
        return get_json(f"{self.url}/sim/calls")


class Server:
    """One `dialtone serve`, started again and again at the same address."""

    def __init__(self, processes, env, name="server"):
        self.processes = processes
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {"PUBLIC_URL": self.url} | env | {"LISTEN_ADDR": f"127.0.0.1:{self.port}"}
        self.child = None
        self.n_starts = 0

    def spawn(self, **options):
        self.log = open(self.processes.work / f"{self.name}.log", "ab")
        streams = {"stdout": self.log, "stderr": self.log}
        self.child = self.processes.start(["serve"], self.env, **streams, **options)
        self.n_starts += 1

    def start(self, **options):
        """Starts the server and waits until it is ready; says how many seconds that took."""
        began = time.monotonic()
        self.spawn(**options)
        self.until_ready()
        return time.monotonic() - began

    def until_ready(self, limit_s=30):
        end = time.monotonic() + limit_s
        while not (self.readiness() or {}).get("ready"):
            if self.child.poll() is not None or time.monotonic() > end:
                sys.exit(f"the server did not become ready: see {self.log.name}")
            time.sleep(0.02)

    def readiness(self, timeout=5):
        """What it says of itself, whether it is ready or not; none when it does not answer."""
        try:
            return get_json(f"{self.url}/readyz", timeout=timeout)
        except urllib.error.HTTPError as answer:
            return json.load(answer) if answer.code == 503 else None
        except OSError:
            return None

    def is_owner(self):
        return (self.readiness() or {}).get("dispatch") == "owner"

    def send(self, what):
        self.child.send_signal(what)

    def kill(self):
        """As by `kill -9`: nothing of the process gets a word in."""
        self.send(signal.SIGKILL)
        self.child.wait()


class Skew:
    """Lets each server believe in another time of day."""

    def __init__(self, processes):
        self.directory = processes.work
        self.library = self.directory / "skew.so"
        source = Path(__file__).with_name("skew.c")
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", self.library, source, "-ldl"]
        subprocess.run(command, check=True)

    def set(self, server, seconds):
        """Moves a server's clock; before its first start, or while it runs."""
        path = self.directory / f"{server.name}.skew"
        # Written over, never replaced: a running server has it mapped.
        with open(path, "r+b" if path.exists() else "wb") as file:
            file.write(struct.pack("=q", seconds))
        server.env |= {"LD_PRELOAD": str(self.library), "SKEW_FILE": str(path)}


class Api:
    """A signed-in user of a server."""

    def __init__(self, url):
        self.url = f"{url}/api/v1"
        self.token = None
        self.token = self.post("/auth/login", {"email": EMAIL, "password": PASSWORD})["token"]

    def at(self, url):
        """The same user at another server of the installation."""
        other = object.__new__(Api)
        other.url = f"{url}/api/v1"
        other.token = self.token
        return other

    def headers(self):
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def post(self, path, body=None):
        data = json.dumps(body).encode() if body is not None else b""
        headers = self.headers() | {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method="POST")
        with HTTP.open(request, timeout=30) as answer:
            return json.load(answer)

    def get(self, path):
        return get_json(self.url + path, self.headers())

    def all(self, path):
        """Every item of a list, page by page."""
        items, cursor = [], ""
        while True:
            page = self.get(f"{path}?limit=500{cursor}")
            items += page["items"]
            if not page.get("next"):
                return items
            cursor = f"&cursor={page['next']}"

    def start_from_csv(self, people, settings, name="Renewal calls"):
        """What the README shows, with curl."""
        parts = {
            "file": f"@{people}",
            "name": name,
            "prompt": "Remind {{first_name}} of the {{plan}} plan and be brief.",
            "firstMessage": "Hello {{first_name}}, do you have a minute?",
            "settings": json.dumps(settings),
        }
        command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "60"]
        command += ["--header", f"Authorization: Bearer {self.token}"]
        for part, value in parts.items():
            command += ["--form", f"{part}={value}"]
        command.append(f"{self.url}/campaigns/start-from-csv")
        answer = subprocess.run(command, check=True, capture_output=True).stdout
        return json.loads(answer)


class Forwarder:
    """What stands in front of several servers: hands each request, and each media socket, to the next
    of them in turn. One that refuses the connection is passed over."""

    def __init__(self):
        self.servers = []
        self.n_requests = {}
        self.n_sockets = {}
        self.turn = 0
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        asyncio.set_event_loop(self.loop)
        serving = asyncio.start_server(self.forward, "127.0.0.1", self.port, backlog=1024)
        self.loop.run_until_complete(serving)
        self.loop.run_forever()

    async def forward(self, reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            is_socket = re.search(rb"(?im)^upgrade: *websocket\r$", head) is not None
            if not is_socket:
                # One request to a connection, or a client's pool would stay with one server.
                head = re.sub(rb"(?im)^connection:.*\r\n", b"", head)
                head = head[:-2] + b"connection: close\r\n\r\n"
            server, upstream = await self.connect()
            counts = self.n_sockets if is_socket else self.n_requests
            counts[server.name] = counts.get(server.name, 0) + 1
            upstream[1].write(head)
            await asyncio.gather(pump(reader, upstream[1]), pump(upstream[0], writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def connect(self):
        for _ in self.servers:
            self.turn += 1
            server = self.servers[self.turn % len(self.servers)]
            try:
                return server, await asyncio.open_connection("127.0.0.1", server.port)
            except OSError:
                continue
        raise ConnectionRefusedError("no server is there")


async def pump(reader, writer):
    """Passes bytes on until there are none, then closes the other side: a socket that lost its server
    ends."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


def settings_for_speed(speed):
    """The variables of a server for a simulator that is so much faster than life."""
    return {
        "JWT_SECRET": "a secret that is long enough for tests",
        "DIALTONE_ADMIN_EMAIL": EMAIL,
        "DIALTONE_ADMIN_PASSWORD": PASSWORD,
        "DIALTONE_SIMULATED_SPEED": str(speed),
        # People whose request was cut short wait this long, not a quarter of an hour.
        "DIALTONE_UNPLACED_GAP_SECONDS": "1",
        "DIALTONE_LOG_FORMAT": "json",
    }


def store_settings(processes, mongodb):
    """Where the records are kept: a database of this run's own, or a directory."""
    if mongodb:
        return {"MONGODB_URI": with_database(mongodb, f"dialtone_test_{os.getpid()}")}
    return {"DIALTONE_DATA_DIR": str(processes.work / "data")}


def get_json(url, headers=None, timeout=30):
    request = urllib.request.Request(url, headers=headers or {})
    with HTTP.open(request, timeout=timeout) as answer:
        return json.load(answer)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def with_database(uri, name):
    parts = urlsplit(uri)
    return parts._replace(path=f"/{name}").geturl()


def wait_for(probe, limit_s, every_s=0.05):
    """What `probe` returns once that is true, or its last answer after the limit."""
    end = time.monotonic() + limit_s
    while True:
        result = probe()
        if result or time.monotonic() > end:
            return result
        time.sleep(every_s)


def numbers_from(first, count):
    """Numbers that are reserved for fiction, and not in demo/people.csv."""
    return [f"+1207555{first + n:04d}" for n in range(count)]


def write_people(path, numbers):
    lines = [f"Person{n},{number},Plus" for n, number in enumerate(numbers)]
    path.write_text("First Name,Phone,Plan\n" + "\n".join(lines) + "\n")
