"""Several servers on one MongoDB, behind one address: they come, go, die and sleep in mid-campaign.

Two campaigns share their people. The server that dispatches is killed, ended and put to sleep while
they run; how long it takes until calls begin again is measured at the carrier. The servers' clocks
are an hour fast, an hour slow and right, and jump by a day. At the end the simulator's ledger must show
that every limit held and that nobody had two calls at once.

    python3 tests/scenario/nodes.py --binary target/debug/dialtone --work DIR --mongodb URI
"""
# proves F-01, F-05, F-08, F-16, F-93, F-94

import argparse
import json
import random
import signal
import sys
import time
from datetime import timezone

from audit import moment
from installation import (
    Api,
    Forwarder,
    Processes,
    Report,
    Server,
    Simulator,
    Skew,
    numbers_from,
    settings_for_speed,
    store_settings,
    wait_for,
    write_people,
)
from verdict import RETRY, Campaign, judge

SPEED = 10
N_NODES = 3
# How fast their clocks are, in seconds.
CLOCKS = (3600, -3600, 0)
DAY = 86400
MAX_CONCURRENT = {"campaign": 8, "tenant": 12}
RATE = 6
SETTINGS = {
    "maxConcurrentCalls": MAX_CONCURRENT["campaign"],
    "callsPerSecond": RATE,
    "ringTimeoutSeconds": 15,
    "maxDurationSeconds": 20,
    "retry": RETRY,
}
# A request may take so long from one process to the other; two starts may arrive so much closer.
TRANSIT_S = 0.15
AFTER_DEATH_S = 5
AFTER_GOODBYE_S = 5
SLEEP_S = 10


class Installation:
    def __init__(self, processes, simulator, env):
        self.forwarder = Forwarder()
        env = env | {"PUBLIC_URL": self.forwarder.url}
        self.nodes = [Server(processes, env, f"node{n}") for n in range(N_NODES)]
        self.processes = processes
        self.skew = Skew(processes)
        for node, seconds in zip(self.nodes, CLOCKS):
            self.skew.set(node, seconds)
        self.simulator = simulator
        self.asleep = None
        self.campaigns = []
        self.api = None

    def start(self, n_nodes):
        for node in self.nodes[:n_nodes]:
            node.start()
        self.forwarder.servers = self.nodes[:n_nodes]
        self.api = Api(self.nodes[0].url)

    def begin_campaigns(self, n_people):
        """Two with the same people, in opposite order."""
        numbers = numbers_from(0, n_people)
        for order in (numbers, numbers[::-1]):
            people = self.processes.work / "people.csv"
            write_people(people, order)
            started = self.api.start_from_csv(people, SETTINGS)
            self.campaigns.append(Campaign(started, order, MAX_CONCURRENT["campaign"]))

    def owner(self):
        """The server that dispatches."""
        awake = [node for node in self.nodes if node.child and node is not self.asleep]
        running = [node for node in awake if node.child.poll() is None]
        return wait_for(lambda: next((node for node in running if node.is_owner()), None), 20)

    def others(self, node):
        return [other for other in self.nodes if other is not node and other.child]

    def resumes_after(self, at, limit_s):
        """Seconds from `at` until another server takes over and the next call begins."""

        def first_start():
            calls = self.simulator.calls()
            starts = [seconds_of(call["created_at"]) for call in calls]
            # What was on its way may still arrive.
            return min((start for start in starts if start > at + TRANSIT_S), default=None)

        first = wait_for(first_start, limit_s + 10, every_s=0.1)
        return (first or at + limit_s + 10) - at

    def are_completed(self):
        statuses = [self.api.get(f"/campaigns/{it.id}")["status"] for it in self.campaigns]
        return set(statuses) == {"completed"}


def seconds_of(text):
    whole, fraction = moment(text)
    return whole.replace(tzinfo=timezone.utc).timestamp() + fraction


def wait_for_calls(installation):
    """Until the campaigns are in full swing."""

    def n_up():
        return sum(call["ended_at"] is None for call in installation.simulator.calls())

    return wait_for(lambda: n_up() >= MAX_CONCURRENT["tenant"] // 2, 20, every_s=0.1)


def kill_the_owner(installation):
    owner = installation.owner()
    wait_for_calls(installation)
    owner.kill()
    took = installation.resumes_after(time.time(), AFTER_DEATH_S)
    owner.start()
    return took


def end_the_owner(installation, report):
    """SIGTERM: another takes over at once; this one ends with the talks that it carries, not with
    those of the others."""
    owner = installation.owner()
    wait_for_calls(installation)
    at = time.time()
    owner.send(signal.SIGTERM)
    took = installation.resumes_after(at, AFTER_GOODBYE_S)
    code = wait_for(lambda: owner.child.poll() is not None, 40) and owner.child.returncode
    n_open = sum(call["ended_at"] is None for call in installation.simulator.calls())
    report.check("a server that was told to end ends with 0, while the others call on",
                 code == 0 and n_open > 0, f"code {code}, {n_open} calls up")
    owner.start()
    return took


def put_the_owner_to_sleep(installation):
    owner = installation.owner()
    wait_for_calls(installation)
    owner.send(signal.SIGSTOP)
    installation.asleep = owner
    took = installation.resumes_after(time.time(), AFTER_DEATH_S)
    time.sleep(max(0, SLEEP_S - took))
    owner.send(signal.SIGCONT)
    installation.asleep = None
    return took


def let_clocks_jump(installation, report):
    """The owner's clock is a day fast, another's a day slow: nobody takes over, nothing else is due."""
    owner = installation.owner()
    wait_for_calls(installation)
    other = installation.others(owner)[0]
    installation.skew.set(owner, DAY)
    installation.skew.set(other, -DAY)
    lost = wait_for(lambda: not owner.is_owner(), 3)
    report.check("the owner stays the owner when clocks jump by a day", not lost)


def crowded(ledger, rate):
    """How often more calls than the rate and one reached the carrier within a second."""
    starts = sorted(seconds_of(call["created_at"]) for call in ledger["calls"])
    most = rate + 1
    return sum(
        starts[n + most] - starts[n] < 1 - TRANSIT_S for n in range(len(starts) - most)
    )


def run(installation, report, chance, n_rounds):
    installation.start(2)
    installation.begin_campaigns(20 + 30 * n_rounds)
    wait_for_calls(installation)
    # The third joins while calls are up.
    installation.nodes[2].start()
    installation.forwarder.servers = list(installation.nodes)
    times = {"death": [], "goodbye": [], "sleep": []}
    for _ in range(n_rounds):
        time.sleep(chance.uniform(0, 1))
        times["death"].append(kill_the_owner(installation))
        time.sleep(chance.uniform(0, 1))
        times["goodbye"].append(end_the_owner(installation, report))
        time.sleep(chance.uniform(0, 1))
        times["sleep"].append(put_the_owner_to_sleep(installation))
        let_clocks_jump(installation, report)
    installation.api = installation.api.at(installation.nodes[0].url)
    ended = wait_for(installation.are_completed, 300, every_s=0.5)
    report.check("both campaigns complete", ended, "not within 300 s")
    worst = {what: round(max(took), 2) for what, took in times.items()}
    for what, limit in [("death", AFTER_DEATH_S), ("sleep", AFTER_DEATH_S),
                        ("goodbye", AFTER_GOODBYE_S)]:
        report.check(f"calls begin again within {limit} s of the owner's {what}",
                     worst[what] <= limit, times[what])
    return worst


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--work", required=True, help="a directory to make, for logs and records")
    parser.add_argument("--mongodb", required=True, help="the records' server")
    parser.add_argument("--rounds", type=int, default=1, help="deaths, ends and sleeps, each")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = Report()
    processes = Processes(options.binary, options.work)
    began = time.monotonic()
    try:
        simulator = Simulator(processes, options.seed, SPEED)
        env = simulator.env | settings_for_speed(SPEED) | store_settings(processes, options.mongodb)
        env |= {
            "DIALTONE_CALLS_PER_SECOND": str(RATE),
            "DIALTONE_MAX_CONCURRENT_CALLS": str(MAX_CONCURRENT["tenant"]),
        }
        installation = Installation(processes, simulator, env)
        worst = run(installation, report, random.Random(options.seed), options.rounds)
        wait_for(lambda: simulator.ledger()["totals"]["live"] == 0, 20)
        ledger = simulator.ledger()
        (processes.work / "ledger.json").write_text(json.dumps(ledger, indent=1))
        n_crowded = crowded(ledger, RATE)
        report.check("the tenant's rate was kept", n_crowded == 0, f"{n_crowded} times not")
        forwarder = installation.forwarder
        is_shared = len(forwarder.n_requests) == len(forwarder.n_sockets) == N_NODES
        report.check("callbacks and audio came to every server", is_shared,
                     f"{forwarder.n_requests} {forwarder.n_sockets}")
        facts = {"nodes": N_NODES, "rounds": options.rounds, "secondsUntilCallsBeginAgain": worst}
        facts |= judge(report, installation.api, ledger, installation.campaigns,
                       MAX_CONCURRENT["tenant"])
        facts |= {
            "mostCallsUpToOnePerson": ledger["totals"]["live_max_per_number"],
            "callbacks": forwarder.n_requests,
            "mediaSockets": forwarder.n_sockets,
            "seconds": round(time.monotonic() - began, 1),
        }
        print(json.dumps(facts), flush=True)
    finally:
        processes.stop()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
