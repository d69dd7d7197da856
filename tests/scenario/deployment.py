"""A deployment on one machine: the server and the simulator as processes of their own.

Starts a campaign from a list with curl, kills the server in the middle of it, starts it again, and
compares what really happened, by the simulator's ledger, with what the campaign allows. With
--browser it first lets the browser tests talk to the server.

Prints one line for each check and their sum; any failure makes the exit code 1.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from audit import Rules, violations

ROOT = Path(__file__).resolve().parents[2]
EMAIL = "operator@example.com"
PASSWORD = "a password for tests"
N_PEOPLE = 40
SETTINGS = {
    "maxConcurrentCalls": 10,
    "callsPerSecond": 10,
    "ringTimeoutSeconds": 15,
    "maxDurationSeconds": 20,
    "retry": {
        "maxAttempts": 3,
        "busy": {"count": 2, "delaySeconds": 2},
        "noAnswer": {"count": 2, "delaySeconds": 2},
        "failed": {"count": 1, "delaySeconds": 2},
    },
}
RULES = Rules(max_attempts=3, max_concurrent=10, repeats={"busy": 2, "no-answer": 2, "failed": 1})

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


class Deployment:
    """The two processes, and what is known of them."""

    def __init__(self, binary, work, mongodb):
        self.binary = str(Path(binary).resolve())
        self.work = Path(work).resolve()
        self.work.mkdir(parents=True)
        self.children = []
        self.server = None
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.simulated = self.start_simulator()
        self.env = self.simulated | {
            "LISTEN_ADDR": f"127.0.0.1:{port}",
            "PUBLIC_URL": self.url,
            "JWT_SECRET": os.urandom(32).hex(),
            "DIALTONE_ADMIN_EMAIL": EMAIL,
            "DIALTONE_ADMIN_PASSWORD": PASSWORD,
            "DIALTONE_CALLS_PER_SECOND": "20",
            # People whose request was cut short by the crash wait this long, not a quarter of an hour.
            "DIALTONE_UNPLACED_GAP_SECONDS": "5",
            "DIALTONE_LOG_FORMAT": "json",
        }
        if mongodb:
            self.env["MONGODB_URI"] = with_database(mongodb, f"dialtone_test_{os.getpid()}")
        else:
            self.env["DIALTONE_DATA_DIR"] = str(self.work / "data")

    def start(self, arguments, env, **streams):
        # A .env of the developer's is found from the working directory upwards, so that is one
        # without: the root of the file system.
        child = subprocess.Popen(
            [self.binary, *arguments], env=env | {"PATH": os.environ["PATH"]}, cwd="/", **streams
        )
        self.children.append(child)
        return child

    def start_simulator(self):
        """Starts the simulator and returns the environment that it names for a dialer."""
        log = open(self.work / "simulator.log", "wb")
        arguments = ["simulate", "--listen", "127.0.0.1:0", "--seed", "7", "--speed", "4"]
        arguments += ["--calls-per-second", "50"]
        simulator = self.start(arguments, {}, stdout=subprocess.PIPE, stderr=log)
        env = {}
        while "ELEVENLABS_AGENT_ID" not in env:
            line = simulator.stdout.readline().decode().strip()
            if not line:
                sys.exit(f"the simulator did not start: see {log.name}")
            name, _, value = line.partition("=")
            env[name] = value
        return env

    def start_server(self):
        """Starts the server and waits until it is ready; says how many seconds that took."""
        log = open(self.work / "server.log", "ab")
        began = time.monotonic()
        self.server = self.start(["serve"], self.env, stdout=log, stderr=log)
        while self.readiness() is None:
            if self.server.poll() is not None or time.monotonic() - began > 30:
                sys.exit(f"the server did not become ready: see {log.name}")
            time.sleep(0.05)
        return time.monotonic() - began

    def readiness(self):
        try:
            return get_json(f"{self.url}/readyz")
        except OSError:
            return None

    def ledger(self):
        return get_json(f"{self.simulated['TWILIO_BASE_URL']}/sim/ledger")

    def stop(self):
        """Ends what is left, each by its own id."""
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()


class Api:
    """A signed-in user of the server."""

    def __init__(self, url):
        self.url = f"{url}/api/v1"
        self.token = None
        self.token = self.post("/auth/login", {"email": EMAIL, "password": PASSWORD})["token"]

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

    def start_from_csv(self, people):
        """What the README shows, with curl."""
        parts = {
            "file": f"@{people}",
            "name": "Renewal calls",
            "prompt": "Remind {{first_name}} of the {{plan}} plan and be brief.",
            "firstMessage": "Hello {{first_name}}, do you have a minute?",
            "settings": json.dumps(SETTINGS),
        }
        command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "60"]
        command += ["--header", f"Authorization: Bearer {self.token}"]
        for name, value in parts.items():
            command += ["--form", f"{name}={value}"]
        command.append(f"{self.url}/campaigns/start-from-csv")
        answer = subprocess.run(command, check=True, capture_output=True).stdout
        return json.loads(answer)


def get_json(url, headers=None):
    with HTTP.open(urllib.request.Request(url, headers=headers or {}), timeout=30) as answer:
        return json.load(answer)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def with_database(uri, name):
    parts = urlsplit(uri)
    return parts._replace(path=f"/{name}").geturl()


def wait_for(probe, limit_s):
    """What `probe` returns once that is true, or its last answer after the limit."""
    end = time.monotonic() + limit_s
    while True:
        result = probe()
        if result or time.monotonic() > end:
            return result
        time.sleep(0.05)


def write_people(path):
    """Numbers that are reserved for fiction, and not in demo/people.csv."""
    numbers = [f"+1207555{100 + n:04d}" for n in range(N_PEOPLE)]
    lines = [f"Person{n},{number},Plus" for n, number in enumerate(numbers)]
    path.write_text("First Name,Phone,Plan\n" + "\n".join(lines) + "\n")
    return numbers


def run_browser_tests(report, deployment):
    env = os.environ | {
        "DIALTONE_URL": deployment.url,
        "DIALTONE_EMAIL": EMAIL,
        "DIALTONE_PASSWORD": PASSWORD,
        "DIALTONE_CSV": str(ROOT / "demo/people.csv"),
        "SCREENSHOTS": str(deployment.work / "screenshots"),
    }
    for name in ("events", "modules", "dashboard"):
        print(f"-- tests/browser/{name}.mjs", flush=True)
        script = ROOT / f"tests/browser/{name}.mjs"
        done = subprocess.run(["node", script], env=env, timeout=300)
        report.check(f"tests/browser/{name}.mjs passes", done.returncode == 0, "see above")
    print("-- the campaign that is cut short", flush=True)


def in_the_middle(api, campaign):
    """True while people are talking and every line of the campaign is in use."""
    calls = api.get(f"/campaigns/{campaign}/calls?open=true&limit=500")["items"]
    is_full = len(calls) == SETTINGS["maxConcurrentCalls"]
    return is_full and any(call["state"] == "connected" for call in calls)


def cut_short(report, deployment):
    """A campaign whose server is killed in its middle."""
    api = Api(deployment.url)
    people = deployment.work / "people.csv"
    numbers = write_people(people)
    started = api.start_from_csv(people)
    report.check(
        "curl starts a campaign from a list",
        started.get("import", {}).get("accepted") == N_PEOPLE,
        started,
    )
    campaign = started["campaign"]["id"]
    reached = wait_for(lambda: in_the_middle(api, campaign), 60)
    report.check("every line of the campaign is in use", reached, "not within 60 s")

    deployment.server.send_signal(signal.SIGKILL)
    deployment.server.wait()
    live = deployment.ledger()["totals"]["live"]
    report.check("kill -9 leaves calls up at the carrier", live > 0, "none was up")
    # Long enough for calls to change and to end while nobody listens.
    time.sleep(3)
    seconds = deployment.start_server()
    report.check("the server is ready again within 10 s", seconds < 10, f"{seconds:.1f} s")
    is_owner = wait_for(lambda: deployment.readiness()["dispatch"] == "owner", 10)
    report.check("it takes dispatching over within 10 s", is_owner, "it is on standby")

    completed = wait_for(lambda: api.get(f"/campaigns/{campaign}")["status"] == "completed", 300)
    progress = api.get(f"/campaigns/{campaign}")["progress"]
    report.check("the campaign completes", completed, progress)
    everybody = progress["finished"] == progress["enrolled"] == N_PEOPLE
    report.check("everybody has come to an end", everybody, progress)
    judge(report, deployment, api, campaign, numbers)


def judge(report, deployment, api, campaign, numbers):
    ledger = deployment.ledger()
    (deployment.work / "ledger.json").write_text(json.dumps(ledger, indent=1))
    found = violations(ledger, numbers, RULES)
    report.check("nobody got more calls than allowed, or two at once", not found, "; ".join(found))
    calls = api.get(f"/campaigns/{campaign}/calls?limit=500")["items"]
    recorded = sorted(call["sid"] for call in calls if call["sid"])
    real = sorted(call["sid"] for call in ledger["calls"] if call["to"] in numbers)
    report.check("every real call is in exactly one attempt", recorded == real, "they differ")
    states = {call["state"] for call in calls}
    report.check("no attempt is left open", states <= {"ended", "released"}, states)


def end_server(report, deployment):
    deployment.server.terminate()
    try:
        code = deployment.server.wait(timeout=60)
    except subprocess.TimeoutExpired:
        code = "nothing within 60 s"
    report.check("SIGTERM ends the server with 0", code == 0, code)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--work", required=True, help="a directory to make, for logs and records")
    parser.add_argument("--mongodb", help="the records' server; without it they are embedded")
    parser.add_argument("--browser", action="store_true", help="run tests/browser first")
    options = parser.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = Report()
    deployment = Deployment(options.binary, options.work, options.mongodb)
    try:
        deployment.start_server()
        if options.browser:
            run_browser_tests(report, deployment)
        cut_short(report, deployment)
        end_server(report, deployment)
    finally:
        deployment.stop()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
