"""A replica set of three that loses its primary in mid-campaign, again and again.

The primary is told to step down, or its process is killed, while calls are up. How long the set is
without a primary, and how long after that calls begin again, is measured. At the end the simulator's
ledger must show that nobody was called too often and every limit held.

    python3 tests/scenario/failover.py --binary target/debug/dialtone --work DIR --members DIR \
        --mongodb URI      (DIR and URI of `tests/mongod start DIR 3`)

PYTHONPATH must have what `tests/mongod python` prints.
"""
# proves F-91

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, PyMongoError

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
# From the new primary to the next call.
RESUME_S = 5


class ReplicaSet:
    def __init__(self, directory):
        self.directory = Path(directory)
        self.members = sorted(path for path in self.directory.iterdir() if path.name.isdigit())
        self.clients = {
            member: MongoClient(
                "127.0.0.1", int((member / "port").read_text()), directConnection=True,
                serverSelectionTimeoutMS=300, connectTimeoutMS=300, socketTimeoutMS=5000,
            )
            for member in self.members
        }

    def primary(self):
        for member, client in self.clients.items():
            try:
                if client.admin.command("hello")["isWritablePrimary"]:
                    return member
            except PyMongoError:
                continue
        return None

    def step_down(self, member):
        try:
            command = {"replSetStepDown": 5, "secondaryCatchUpPeriodSecs": 1, "force": True}
            self.clients[member].admin.command(command)
        except AutoReconnect:
            pass  # It closes its connections.

    def kill(self, member):
        os.kill(int((member / "mongod.pid").read_text()), signal.SIGKILL)

    def start_all(self):
        command = [str(ROOT / "tests/mongod"), "start", str(self.directory), str(len(self.members))]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Failovers:
    def __init__(self, members, simulator):
        self.members = members
        self.simulator = simulator
        self.times = []

    def happen(self, how):
        """Takes the primary away; notes until when there is none, and until calls begin again."""
        primary = wait_for(self.members.primary, 30)
        began = time.time()
        if how == "kill":
            self.members.kill(primary)
        else:
            self.members.step_down(primary)
        new = wait_for(self.other_than(primary), 30, every_s=0.02)
        elected = time.time()
        first = wait_for(lambda: self.start_after(elected), 30)
        self.times.append({
            "how": how,
            "withoutPrimary": round(elected - began, 2),
            "untilCallsBegin": round((first or time.time()) - elected, 2) if new else None,
        })
        if how == "kill":
            self.members.start_all()

    def other_than(self, old):
        def look():
            primary = self.members.primary()
            return primary if primary != old else None

        return look

    def start_after(self, at):
        starts = [seconds_of(call["created_at"]) for call in self.simulator.calls()]
        return min((start for start in starts if start > at), default=None)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--work", required=True, help="a directory to make, for logs and records")
    parser.add_argument("--members", required=True, help="the replica set's directory")
    parser.add_argument("--mongodb", required=True, help="the replica set's URI")
    parser.add_argument("--rounds", type=int, default=1, help="step-downs and kills, each")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = Report()
    processes = Processes(options.binary, options.work)
    chance = random.Random(options.seed)
    began = time.monotonic()
    try:
        simulator = Simulator(processes, options.seed, SPEED)
        env = simulator.env | settings_for_speed(SPEED) | store_settings(processes, options.mongodb)
        env |= {
            "DIALTONE_CALLS_PER_SECOND": "5",
            "DIALTONE_MAX_CONCURRENT_CALLS": str(MAX_CONCURRENT),
        }
        server = Server(processes, env)
        server.start()
        api = Api(server.url)
        numbers = numbers_from(0, 30 + 50 * options.rounds)
        write_people(processes.work / "people.csv", numbers)
        started = api.start_from_csv(processes.work / "people.csv", SETTINGS)
        campaign = Campaign(started, numbers, MAX_CONCURRENT)

        failovers = Failovers(ReplicaSet(options.members), simulator)
        for _ in range(options.rounds):
            for how in ("step down", "kill"):
                wait_for(lambda: simulator.ledger()["totals"]["live"] > 3, 20)
                time.sleep(chance.uniform(0, 2))
                failovers.happen(how)
        status = lambda: api.get(f"/campaigns/{campaign.id}")["status"]
        report.check("the server is the one that was started", server.child.poll() is None)
        report.check("the campaign completes", wait_for(lambda: status() == "completed", 300, 0.5))
        slow = [it for it in failovers.times
                if it["untilCallsBegin"] is None or it["untilCallsBegin"] > RESUME_S]
        report.check(f"calls begin within {RESUME_S} s of the new primary", not slow, slow)
        wait_for(lambda: simulator.ledger()["totals"]["live"] == 0, 20)
        ledger = simulator.ledger()
        (processes.work / "ledger.json").write_text(json.dumps(ledger, indent=1))
        facts = {"failovers": failovers.times}
        facts |= judge(report, api, ledger, [campaign], MAX_CONCURRENT)
        facts["seconds"] = round(time.monotonic() - began, 1)
        print(json.dumps(facts), flush=True)
    finally:
        processes.stop()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
