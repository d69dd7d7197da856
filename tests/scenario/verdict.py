"""What must hold at the end of every scenario, by the simulator's ledger and a recount of the records."""

from collections import Counter

from audit import Rules, most_at_once, violations

# For campaigns whose people are called again a second later.
RETRY = {
    "maxAttempts": 3,
    "busy": {"count": 2, "delaySeconds": 1},
    "noAnswer": {"count": 2, "delaySeconds": 1},
    "failed": {"count": 1, "delaySeconds": 1},
}
REPEATS = {"busy": 2, "no-answer": 2, "failed": 1}


class Campaign:
    """A campaign and whom it calls."""

    def __init__(self, started, numbers, max_concurrent):
        if started.get("import", {}).get("accepted") != len(numbers):
            raise ValueError(f"not everybody was taken: {started}")
        self.id = started["campaign"]["id"]
        self.numbers = numbers
        self.rules = Rules(RETRY["maxAttempts"], max_concurrent, REPEATS)


def judge(report, api, ledger, campaigns, max_concurrent):
    """Checks everything; gives what it counted. `max_concurrent` is of the whole tenant."""
    records = [Records(api, campaign) for campaign in campaigns]
    found = [fault for record in records for fault in record.faults(ledger)]
    twice = ledger["totals"]["live_max_per_number"]
    if twice > 1:
        found.append(f"somebody had {twice} calls at once")
    peak = most_at_once(ledger["calls"])
    if peak > max_concurrent:
        found.append(f"{peak} calls were up at once, {max_concurrent} are allowed in all")
    recorded = sorted(sid for record in records for sid in record.sids)
    real = sorted(call["sid"] for call in ledger["calls"])
    if recorded != real:
        found.append(
            f"{len(real)} real calls, {len(recorded)} in attempts; unknown: "
            f"{sorted(set(real) - set(recorded))[:3]}"
        )
    report.check("no rule was broken", not found, "; ".join(found[:8]))
    per_person = Counter(call["to"] for call in ledger["calls"])
    return {
        "campaigns": len(campaigns),
        "contacts": sum(len(campaign.numbers) for campaign in campaigns),
        "calls": len(ledger["calls"]),
        "callsToOnePerson": max(per_person.values(), default=0),
        "callsAtOnce": peak,
        "violations": len(found),
    }


class Records:
    """What a server says of a campaign."""

    def __init__(self, api, campaign):
        self.campaign = campaign
        path = f"/campaigns/{campaign.id}"
        self.shown = api.get(path)
        self.progress = api.get(f"{path}/progress")
        self.contacts = api.all(f"{path}/contacts")
        self.calls = api.all(f"{path}/calls")
        self.sids = [call["sid"] for call in self.calls if call["sid"]]

    def faults(self, ledger):
        campaign = self.campaign
        # By call, not by number: campaigns may share people.
        own = set(self.sids)
        calls = [call for call in ledger["calls"] if call["sid"] in own]
        found = violations({"calls": calls}, campaign.numbers, campaign.rules)
        if self.shown["status"] != "completed":
            found.append(f"{campaign.id} is {self.shown['status']}: {self.progress}")
        left = Counter(call["state"] for call in self.calls)
        if set(left) - {"ended", "released"}:
            found.append(f"attempts are left open: {dict(left)}")
        recount = self.recount()
        for figure, counted in recount.items():
            if self.progress[figure] != counted:
                found.append(f"{figure} says {self.progress[figure]}, counted are {counted}")
        if recount["finished"] != len(campaign.numbers):
            found.append(f"{recount['finished']} of {len(campaign.numbers)} came to an end")
        return found

    def recount(self):
        states = Counter(contact["state"] for contact in self.contacts)
        finished = [contact for contact in self.contacts if contact["state"] == "finished"]
        return {
            "enrolled": len(self.contacts),
            "open": states["open"],
            "finished": states["finished"],
            "calls": len(self.sids),
            "outcomes": dict(Counter(contact["outcome"] or "none" for contact in finished)),
        }
