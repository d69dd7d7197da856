"""Every check of the audit must be able to fail, or its silence says nothing."""

import unittest

from audit import Rules, violations

RULES = Rules(max_attempts=3, max_concurrent=1, repeats={"busy": 2, "no-answer": 1})
ANN = "+12025550101"


def call(at, end, outcome="busy", to=ANN, answered=False):
    time = "2027-01-01T00:00:{:02d}Z".format
    return {
        "to": to,
        "created_at": time(at),
        "answered_at": time(at) if answered else None,
        "ended_at": None if end is None else time(end),
        "outcome": None if end is None else outcome,
    }


def found(*calls, numbers=(ANN,)):
    return violations({"calls": list(calls)}, numbers, RULES)


class Audit(unittest.TestCase):
    def test_a_clean_history_has_no_violation(self):
        clean = [call(0, 5), call(5, 9), call(20, 30, "completed", answered=True)]
        self.assertEqual(found(*clean), [])

    def test_other_numbers_do_not_count(self):
        self.assertEqual(found(call(0, None, to="+12025550199")), [])

    def test_too_many_calls_are_seen(self):
        calls = [call(0, 1), call(2, 3), call(4, 5, "no-answer"), call(6, 7)]
        self.assertEqual(found(*calls), ["…0101 was called 4 times"])

    def test_a_call_that_never_ended_is_seen(self):
        self.assertEqual(found(call(0, None)), ["…0101 is still on the phone"])

    def test_two_calls_at_once_are_seen(self):
        expected = [
            "…0101 was called while a call was still up",
            "2 calls were up at once, 1 are allowed",
        ]
        self.assertEqual(found(call(0, 9), call(5, 12)), expected)

    def test_a_call_after_an_answer_is_seen(self):
        expected = [
            "…0101 was called again after answering",
            "…0101 was called again 1 times after completed",
        ]
        self.assertEqual(found(call(0, 5, "completed", answered=True), call(6, 8)), expected)

    def test_more_repeats_than_the_outcome_allows_are_seen(self):
        calls = [call(0, 1, "no-answer"), call(2, 3, "no-answer"), call(4, 5)]
        self.assertEqual(found(*calls), ["…0101 was called again 2 times after no-answer"])


if __name__ == "__main__":
    unittest.main()
