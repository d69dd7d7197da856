"""A store that is away for a while in mid-campaign: nothing begins that cannot be saved.

While it is away nobody new may be called, the process must say that it is not ready, and callbacks
must be answered with 503, so that the carrier repeats them. Talks go on. When the store is back calls
must begin again by themselves.

    python3 tests/scenario/outage.py --binary target/debug/dialtone --work DIR --how HOW [--seconds N]
        [--mongodb URI --member DIR]

HOW is `lock` (another process holds the SQLite file), `full` (SQLite cannot write another byte),
`stop` (MongoDB's process is stopped and its connections hang) or `kill` (MongoDB is gone). The last two
need the URI and the directory of `tests/mongod start DIR`, plus `/1`.
"""
# proves F-09, F-92

import argparse
import base64
import hashlib
import hmac
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from installation import (
    HTTP,
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
from nodes import seconds_of
from verdict import RETRY, Campaign, judge

ROOT = Path(__file__).resolve().parents[2]
SPEED = 10
MAX_CONCURRENT = 10
SETTINGS = {
    "maxConcurrentCalls": MAX_CONCURRENT,
    "callsPerSecond": 5,
    "ringTimeoutSeconds": 15,
    "maxDurationSeconds": 20,
    "retry": RETRY,
}
N_PEOPLE = 110
# What was saved before may still leave.
LAST_START_S = 1
# How soon the process must say that it is not ready, and how soon callbacks must be answered: before
# the carrier gives up.
RED_S = 10
ANSWER_S = 12
RESUME_S = 10


class Locked:
    """Another process writes to the file and does not finish."""

    def __init__(self, server):
        self.path = Path(server.env["DIALTONE_DATA_DIR"]) / "dialtone.db"

    def begin(self):
        self.connection = sqlite3.connect(self.path, isolation_level=None, timeout=10)
        self.connection.execute("BEGIN IMMEDIATE")

    def end(self):
        self.connection.execute("ROLLBACK")
        self.connection.close()


class Full:
    """No file of the process may grow beyond what its journal has."""

    def __init__(self, server):
        self.server = server
        self.journal = Path(server.env["DIALTONE_DATA_DIR"]) / "dialtone.db-wal"

    def begin(self):
        size = self.journal.stat().st_size
        resource.prlimit(self.server.child.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def end(self):
        whole = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(self.server.child.pid, resource.RLIMIT_FSIZE, whole)


class Stopped:
    """The database's process stands still."""

    def __init__(self, member):
        self.pid = int((Path(member) / "mongod.pid").read_text())

    def begin(self):
        os.kill(self.pid, signal.SIGSTOP)
        # Every thread of it has stopped when its state says so.
        state = Path(f"/proc/{self.pid}/stat")
        wait_for(lambda: state.read_text().rpartition(")")[2].split()[0] == "T", 5, 0.01)
        time.sleep(0.1)

    def end(self):
        os.kill(self.pid, signal.SIGCONT)


class Gone:
    """The database's process is killed, and started again at the end."""

    def __init__(self, member):
        self.member = Path(member)

    def begin(self):
        os.kill(int((self.member / "mongod.pid").read_text()), signal.SIGKILL)

    def end(self):
        command = [str(ROOT / "tests/mongod"), "start", str(self.member.parent)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Carrier:
    """Sends a callback as the carrier does."""

    def __init__(self, simulator, server):
        self.token = simulator.env["TWILIO_AUTH_TOKEN"]
        self.account = simulator.env["TWILIO_ACCOUNT_SID"]
        self.url = server.url
        self.n_sent = 0

    def tell(self, call):
        """The status of the answer, and how long it took."""
        self.n_sent += 1
        url = f"{self.url}/webhooks/twilio/status/{call['id']}"
        fields = {
            "AccountSid": self.account,
            "CallSid": call["sid"],
            "CallStatus": "ringing",
            "SequenceNumber": str(100 + self.n_sent),
            "Timestamp": "Mon, 01 Jan 2029 00:00:00 +0000",
        }
        signed = url + "".join(name + fields[name] for name in sorted(fields))
        digest = hmac.new(self.token.encode(), signed.encode(), hashlib.sha1).digest()
        headers = {"X-Twilio-Signature": base64.b64encode(digest).decode()}
        data = urllib.parse.urlencode(fields).encode()
        began = time.monotonic()
        try:
            request = urllib.request.Request(url, data, headers)
            with HTTP.open(request, timeout=30) as answer:
                status = answer.status
        except urllib.error.HTTPError as answer:
            status = answer.code
        except OSError as error:
            status = str(error)
        return status, round(time.monotonic() - began, 1)


class Outage:
    def __init__(self, report, server, simulator, fault):
        self.report = report
        self.server = server
        self.simulator = simulator
        self.fault = fault

    def happen(self, seconds, call):
        check = self.report.check
        carrier = Carrier(self.simulator, self.server)
        check("a callback is answered with 204", carrier.tell(call)[0] == 204)
        talks = self.talks_up()
        self.fault.begin()
        began = time.time()
        try:
            status, took = carrier.tell(call)
            check(f"a callback is answered with 503 within {ANSWER_S} s",
                  status == 503 and took <= ANSWER_S, f"{status} after {took} s")
            red = wait_for(self.is_red, RED_S)
            red_after = time.time() - began
            check("the process is alive and says that it is not ready", red, f"{red_after:.1f} s")
            time.sleep(max(0, began + seconds - time.time()))
            back = time.time()
        finally:
            self.fault.end()
        ended = time.time()
        # What was known until the store was away was saved, and what came then was not begun.
        starts = [seconds_of(it["created_at"]) for it in self.simulator.calls()]
        early = [start - began for start in starts if began + LAST_START_S < start < back]
        check(f"no call began from {LAST_START_S} s after the fault on", not early, early)
        first = wait_for(lambda: self.start_after(back), 30)
        resumed = max(0, (first or time.time()) - ended)
        check(f"calls begin again within {RESUME_S} s", first and resumed <= RESUME_S, resumed)
        green = wait_for(lambda: (self.server.readiness() or {}).get("ready"), 10)
        check("the process says that it is ready again", green)
        cut = self.cut_short(talks)
        check("the talks that were up went on to their end", talks and not cut, cut or "none was up")
        return {"talksUp": len(talks), "secondsUntilRed": round(red_after, 1), "secondsUntilCallsBegin": round(resumed, 1)}

    def talks_up(self):
        """Whom the agent is talking to."""
        conversations = self.simulator.ledger()["conversations"]
        return {it["conversation_id"] for it in conversations if it["closed_at"] is None}

    def cut_short(self, talks):
        """Those of the talks that the people themselves would have gone on with."""
        ledger = self.simulator.ledger()
        patient = {it["sid"] for it in ledger["calls"] if it["behaviour"] == "converses"}
        return [
            it for it in ledger["conversations"]
            if it["conversation_id"] in talks
            and it["dynamic_variables"].get("call_sid") in patient
            and it["agent_lines"] < 2
        ]

    def is_red(self):
        readiness = self.server.readiness()
        return readiness and not readiness["ready"] and not readiness["store"]

    def start_after(self, at):
        starts = [seconds_of(it["created_at"]) for it in self.simulator.calls()]
        return min((start for start in starts if start > at), default=None)


def fault_of(options, server):
    match options.how:
        case "lock":
            return Locked(server)
        case "full":
            return Full(server)
        case "stop":
            return Stopped(options.member)
        case "kill":
            return Gone(options.member)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--work", required=True, help="a directory to make, for logs and records")
    parser.add_argument("--how", required=True, choices=["lock", "full", "stop", "kill"])
    parser.add_argument("--seconds", type=float, default=60, help="how long the store is away")
    parser.add_argument("--mongodb", help="the records' server")
    parser.add_argument("--member", help="the directory of its process")
    options = parser.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = Report()
    processes = Processes(options.binary, options.work)
    began = time.monotonic()
    try:
        simulator = Simulator(processes, 1, SPEED)
        env = simulator.env | settings_for_speed(SPEED) | store_settings(processes, options.mongodb)
        env |= {
            "DIALTONE_CALLS_PER_SECOND": "5",
            "DIALTONE_MAX_CONCURRENT_CALLS": str(MAX_CONCURRENT),
        }
        server = Server(processes, env)
        # A write beyond the limit is to fail; Python ignores the signal, and so does its child.
        server.start(restore_signals=False)
        api = Api(server.url)
        numbers = numbers_from(0, N_PEOPLE)
        write_people(processes.work / "people.csv", numbers)
        started = api.start_from_csv(processes.work / "people.csv", SETTINGS)
        campaign = Campaign(started, numbers, MAX_CONCURRENT)
        wait_for(lambda: simulator.ledger()["totals"]["agent_sessions_open"] > 2, 30)
        calls = api.get(f"/campaigns/{campaign.id}/calls?open=true&limit=50")["items"]
        call = next(call for call in calls if call["sid"])

        facts = {"how": options.how, "seconds": options.seconds}
        facts |= Outage(report, server, simulator, fault_of(options, server)).happen(
            options.seconds, call
        )
        status = lambda: api.get(f"/campaigns/{campaign.id}")["status"]
        report.check("the campaign was not completed meanwhile", status() == "active", status())
        report.check("the campaign completes", wait_for(lambda: status() == "completed", 300, 0.5))
        wait_for(lambda: simulator.ledger()["totals"]["live"] == 0, 20)
        ledger = simulator.ledger()
        (processes.work / "ledger.json").write_text(json.dumps(ledger, indent=1))
        facts |= judge(report, api, ledger, [campaign], MAX_CONCURRENT)
        facts["secondsInAll"] = round(time.monotonic() - began, 1)
        print(json.dumps(facts), flush=True)
    finally:
        processes.stop()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
