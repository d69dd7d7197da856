"""Whether what really happened to a list of numbers is what a campaign's rules allow.

Reads the simulator's ledger (`GET /sim/ledger`), which knows nothing of the dialer. Pure: the same
ledger and rules give the same violations.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Rules:
    """What a campaign allows: calls to one number in all, and repeats by how a call ended."""

    max_attempts: int
    max_concurrent: int
    repeats: dict  # carrier status, such as "busy": how many calls may follow it


def violations(ledger, numbers, rules):
    """Everything that does not hold for calls to `numbers`, a sentence each."""
    by_number = {number: [] for number in numbers}
    for call in ledger["calls"]:
        if call["to"] in by_number:
            by_number[call["to"]].append(call)
    found = []
    for number, calls in by_number.items():
        calls.sort(key=lambda call: moment(call["created_at"]))
        found += about_person(f"…{number[-4:]}", calls, rules)
    peak = most_at_once([call for calls in by_number.values() for call in calls])
    if peak > rules.max_concurrent:
        found.append(f"{peak} calls were up at once, {rules.max_concurrent} are allowed")
    return found


def about_person(name, calls, rules):
    found = []
    if len(calls) > rules.max_attempts:
        found.append(f"{name} was called {len(calls)} times")
    for call in calls:
        if call["ended_at"] is None:
            found.append(f"{name} is still on the phone")
    for earlier, later in zip(calls, calls[1:]):
        if earlier["ended_at"] and moment(earlier["ended_at"]) > moment(later["created_at"]):
            found.append(f"{name} was called while a call was still up")
        if earlier["answered_at"]:
            found.append(f"{name} was called again after answering")
    for outcome in sorted({call["outcome"] for call in calls[:-1]} - {None}):
        n_followed = sum(call["outcome"] == outcome for call in calls[:-1])
        allowed = rules.repeats.get(outcome, 0)
        if n_followed > allowed:
            found.append(f"{name} was called again {n_followed} times after {outcome}")
    return found


def most_at_once(calls):
    changes = []
    for call in calls:
        changes.append((moment(call["created_at"]), 1))
        if call["ended_at"]:
            changes.append((moment(call["ended_at"]), -1))
    n_up = peak = 0
    # At the same instant an end comes before a beginning: -1 sorts first.
    for _, change in sorted(changes):
        n_up += change
        peak = max(peak, n_up)
    return peak


def moment(text):
    """An RFC 3339 time in UTC as whole seconds and a fraction, which compare in order."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(whole), float(f"0.{fraction or 0}")
