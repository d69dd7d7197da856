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
import subprocess
import sys
import time
from pathlib import Path

from audit import Rules, violations
from installation import (
    EMAIL,
    PASSWORD,
    Api,
    Processes,
    Report,
    Server,
    Simulator,
    numbers_from,
    store_settings,
    wait_for,
    write_people,
)

ROOT = Path(__file__).resolve().parents[2]
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


class Deployment:
    """The two processes, and what is known of them."""

    def __init__(self, binary, work, mongodb):
        self.processes = Processes(binary, work)
        self.work = self.processes.work
        self.simulator = Simulator(self.processes, seed=7, speed=4)
        env = self.simulator.env | store_settings(self.processes, mongodb)
        env |= {
            "JWT_SECRET": os.urandom(32).hex(),
            "DIALTONE_ADMIN_EMAIL": EMAIL,
            "DIALTONE_ADMIN_PASSWORD": PASSWORD,
            "DIALTONE_CALLS_PER_SECOND": "20",
            # People whose request was cut short by the crash wait this long, not a quarter of an hour.
            "DIALTONE_UNPLACED_GAP_SECONDS": "5",
            "DIALTONE_LOG_FORMAT": "json",
        }
        self.server = Server(self.processes, env)
        self.url = self.server.url


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
    numbers = numbers_from(100, N_PEOPLE)
    write_people(people, numbers)
    started = api.start_from_csv(people, SETTINGS)
    report.check(
        "curl starts a campaign from a list",
        started.get("import", {}).get("accepted") == N_PEOPLE,
        started,
    )
    campaign = started["campaign"]["id"]
    reached = wait_for(lambda: in_the_middle(api, campaign), 60)
    report.check("every line of the campaign is in use", reached, "not within 60 s")

    server = deployment.server
    server.kill()
    live = deployment.simulator.ledger()["totals"]["live"]
    report.check("kill -9 leaves calls up at the carrier", live > 0, "none was up")
    # Long enough for calls to change and to end while nobody listens.
    time.sleep(3)
    seconds = server.start()
    report.check("the server is ready again within 10 s", seconds < 10, f"{seconds:.1f} s")
    is_owner = wait_for(server.is_owner, 10)
    report.check("it takes dispatching over within 10 s", is_owner, "it is on standby")

    completed = wait_for(lambda: api.get(f"/campaigns/{campaign}")["status"] == "completed", 300)
    progress = api.get(f"/campaigns/{campaign}")["progress"]
    report.check("the campaign completes", completed, progress)
    everybody = progress["finished"] == progress["enrolled"] == N_PEOPLE
    report.check("everybody has come to an end", everybody, progress)
    judge(report, deployment, api, campaign, numbers)


def judge(report, deployment, api, campaign, numbers):
    ledger = deployment.simulator.ledger()
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
    deployment.server.send(signal.SIGTERM)
    try:
        code = deployment.server.child.wait(timeout=60)
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
        deployment.server.start()
        if options.browser:
            run_browser_tests(report, deployment)
        cut_short(report, deployment)
        end_server(report, deployment)
    finally:
        deployment.processes.stop()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
