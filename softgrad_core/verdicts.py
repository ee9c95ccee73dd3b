"""The verdicts that a comparison of numbers can come to."""

from enum import StrEnum


class Verdict(StrEnum):
    """The verdict on a number, or on several."""

    PASS = "pass"
    FAIL = "fail"
    UNINFORMATIVE = "uninformative"
    """Neither wrong nor shown right: too small, or infinite, for an error to show."""

    @property
    def rank(self) -> int:
        """The number that stands for it in arrays: the larger, the worse."""
        return RANKED.index(self)


RANKED = (Verdict.PASS, Verdict.UNINFORMATIVE, Verdict.FAIL)
"""The verdicts by rank."""
