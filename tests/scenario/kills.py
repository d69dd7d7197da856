"""A server that is killed again and again: nobody is called too often, nobody is forgotten.

Campaigns run one after the other and beside each other while the server gets `kill -9` at random
moments, in its start too, and is started again at the same address on the same records. Then what
really happened, by the simulator's ledger, is compared with what the campaigns allow.

    python3 tests/scenario/kills.py --binary target/debug/dialtone --work DIR [--mongodb URI]

DIALTONE_KILLS says how many times, 25 without it; DIALTONE_SEED what is left to chance.
"""
# proves F-01, F-03, F-08, F-10, F-17

import argparse
import json
import os
import random
import signal
import sys
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
from verdict import RETRY, Campaign, judge

SPEED = 10
MAX_CONCURRENT = {"campaign": 8, "tenant": 14}
SETTINGS = {
    "maxConcurrentCalls": MAX_CONCURRENT["campaign"],
    "callsPerSecond": 10,
    "ringTimeoutSeconds": 15,
    "maxDurationSeconds": 20,
    "retry": RETRY,
}
PEOPLE = 10
# A campaign begins after so many kills, so that there are always calls to be cut.
KILLS_A_CAMPAIGN = 8
# Of all kills; these come before the server is ready.
IN_ITS_START = 0.15
# After the last kill, nobody is killed: everything must come to its end in this time.
HEALING_S = 240


class Killing:
    def __init__(self, server, simulator, chance):
        self.server = server
        self.simulator = simulator
        self.chance = chance
        self.campaigns = []
        self.n_kills = 0
        self.n_in_start = 0
        self.n_live = 0

    def run(self, n_kills):
        self.server.start()
        api = Api(self.server.url)
        while self.n_kills < n_kills:
            if self.n_kills >= KILLS_A_CAMPAIGN * len(self.campaigns):
                self.begin_campaign(api)
            time.sleep(self.chance.uniform(0, 1.8))
            self.kill()
            self.server.spawn()
            while self.n_kills < n_kills and self.chance.random() < IN_ITS_START:
                time.sleep(self.chance.uniform(0, 0.4))
                self.kill()
                self.n_in_start += 1
                self.server.spawn()
            self.server.until_ready()
        return api

    def kill(self):
        self.server.kill()
        self.n_kills += 1
        self.n_live += any(call["ended_at"] is None for call in self.simulator.calls())

    def begin_campaign(self, api):
        numbers = numbers_from(PEOPLE * len(self.campaigns), PEOPLE)
        people = self.server.processes.work / "people.csv"
        write_people(people, numbers)
        started = api.start_from_csv(people, SETTINGS)
        campaign = Campaign(started, numbers, MAX_CONCURRENT["campaign"])
        self.campaigns.append(campaign)

    def are_completed(self, api):
        statuses = [api.get(f"/campaigns/{campaign.id}")["status"] for campaign in self.campaigns]
        return set(statuses) == {"completed"}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--work", required=True, help="a directory to make, for logs and records")
    parser.add_argument("--mongodb", help="the records' server; without it they are embedded")
    options = parser.parse_args()
    n_kills = int(os.environ.get("DIALTONE_KILLS", "25"))
    seed = int(os.environ.get("DIALTONE_SEED", "1"))

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = Report()
    processes = Processes(options.binary, options.work)
    began = time.monotonic()
    try:
        simulator = Simulator(processes, seed, SPEED)
        env = simulator.env | settings_for_speed(SPEED) | store_settings(processes, options.mongodb)
        env |= {
            "DIALTONE_CALLS_PER_SECOND": "20",
            "DIALTONE_MAX_CONCURRENT_CALLS": str(MAX_CONCURRENT["tenant"]),
            # A process that was killed holds the lease for so long.
            "DIALTONE_LEASE_MS": "1000",
        }
        killing = Killing(Server(processes, env), simulator, random.Random(seed))
        api = killing.run(n_kills)
        killed_s = time.monotonic() - began
        ended = wait_for(lambda: killing.are_completed(api), HEALING_S, every_s=0.5)
        report.check("every campaign completes", ended, f"not within {HEALING_S} s")
        wait_for(lambda: simulator.ledger()["totals"]["live"] == 0, 20)
        ledger = simulator.ledger()
        (processes.work / "ledger.json").write_text(json.dumps(ledger, indent=1))
        facts = {
            "store": "mongodb" if options.mongodb else "sqlite",
            "seed": seed,
            "kills": killing.n_kills,
            "killsInStart": killing.n_in_start,
            "killsWithCallsUp": killing.n_live,
            "restarts": killing.server.n_starts - 1,
        }
        facts |= judge(report, api, ledger, killing.campaigns, MAX_CONCURRENT["tenant"])
        facts |= {
            "secondsOfKilling": round(killed_s, 1),
            "seconds": round(time.monotonic() - began, 1),
        }
        report.check("most kills cut calls", killing.n_live > n_kills / 2, f"{killing.n_live}")
        print(json.dumps(facts), flush=True)
    finally:
        processes.stop()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
