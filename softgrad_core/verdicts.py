"""What a comparison can say of a number."""

from enum import StrEnum


class Verdict(StrEnum):
    """What a comparison can say of a number."""

    PASS = "pass"
    FAIL = "fail"
    UNINFORMATIVE = "uninformative"
    """Not wrong, and not shown right: too small, or infinite, for an error to be seen."""

    @property
    def rank(self) -> int:
        """The number that stands for it in arrays, the larger the worse."""
        return RANKED.index(self)


RANKED = (Verdict.PASS, Verdict.UNINFORMATIVE, Verdict.FAIL)
"""The verdicts by rank."""
