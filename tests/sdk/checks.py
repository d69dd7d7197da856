"""What the scripts here have in common: counting checks."""


class Report:
    """Counts checks and says which failed."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def check(self, what, holds, detail=""):
        if holds:
            self.passed += 1
            print(f"ok    {what}")
        else:
            self.failed += 1
            print(f"FAIL  {what} {detail}")

    def end(self):
        """Prints the sums; the exit code to end with."""
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0


def run(parts):
    """Runs every part with one report, also after one of them broke off."""
    report = Report()
    for part in parts:
        try:
            part(report)
        except Exception as error:
            report.check(part.__name__, False, repr(error))
    return report.end()
