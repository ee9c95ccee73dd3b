"""What is wrong with an answer, by name, and what makes two findings one."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from softgrad_core.probing.events import Trial
from softgrad_core.probing.frameworks import Answer
from softgrad_core.probing.inputs import Input
from softgrad_core.probing.judging import (
    OVERWRITTEN,
    RAISED,
    ROWS_OF_OTHERS,
    STATE_KEPT,
    STRIDES_IGNORED,
    UNKNOWN_MISTAKE,
    UPSTREAM_IGNORED,
    UPSTREAM_OF_FIRST,
    UPSTREAM_TWICE,
    Judgement,
    Kind,
    as_floats,
    judge,
)
from softgrad_core.probing.trials import PLAIN, PLAIN_FAMILY, RANDOM

FEW_NUMBERS = 1 << 13
"""Of more numbers, a mistake is named once, and not for each smaller input that is tried."""


@dataclass(frozen=True)
class Raised:
    """An error of the function."""

    error: BaseException


Outcome = Judgement | Raised


class Key(NamedTuple):
    """What makes two findings one: the mistake and, where none is known, what it shows in.

    `family` is that of the trial.
    """

    name: str
    what: str = ""
    family: str = ""


Problem = tuple[Kind, Key]
AnswersByShape = dict[tuple[int, ...], list[Answer]]


class Namer:
    """Names what is wrong, and knows what was found before.

    Parameters
    ----------
    tried
        What becomes of an input, by calling the function with it.
    """

    def __init__(self, tried: Callable[[Trial], Outcome]) -> None:
        self._tried = tried
        self._found: set[Key] = set()
        self._earlier: AnswersByShape = {}
        self.general: Problem | None = None
        """What is wrong with plain rows, which all inputs have then."""
        self._of_general: frozenset[str] = frozenset()

    def problems(self, trial: Trial, outcome: Outcome) -> Iterator[Problem]:
        """Yield what is wrong."""
        if isinstance(outcome, Raised):
            # An empty batch may be an error.
            if len(trial.given.logits):
                yield RAISED, Key(RAISED.name, type(outcome.error).__name__, trial.family)
            return
        if outcome.answer.overwritten:
            yield OVERWRITTEN, Key(OVERWRITTEN.name)
        if outcome.refused is not None:
            yield outcome.refused, Key(outcome.refused.name, "", trial.family)
        elif outcome.failed:
            yield self._of_numbers(trial, outcome)

    def _of_numbers(self, trial: Trial, outcome: Judgement) -> Problem:
        """Return what is wrong with numbers that failed."""
        if self.general is not None and self._is_general(outcome):
            return self.general
        kind = self._of_earlier_call(outcome)
        if kind is None and self._differs_between_calls(trial, outcome):
            kind = STATE_KEPT
        kind = kind or self._of_way(trial, outcome) or named(outcome)
        if kind is not UNKNOWN_MISTAKE:
            return kind, Key(kind.name)
        return kind, Key(kind.name, "NaN" if outcome.is_nan else "numbers", trial.family)

    def is_known(self, key: Key) -> bool:
        """Return whether this was found before: in plain rows, in the same family, or by chance."""
        families = {one.family for one in self._found if one[:2] == key[:2]}
        is_general = PLAIN_FAMILY in families or (key.family == RANDOM and bool(families))
        return key.family in families or is_general

    def add(self, problem: Problem, trial: Trial, smallest: Input, failed: Collection[str]) -> None:
        """Remember what was found: the smallest input that shows it, and the claims that failed."""
        kind, key = problem
        # What fails for equal logits, given in the plain way, is wrong in general.
        is_general = not smallest.logits.any() and smallest.is_plain
        self._found.add(key._replace(family=PLAIN_FAMILY) if is_general else key)
        if (trial.name == PLAIN and kind is not OVERWRITTEN) or kind is STATE_KEPT:
            self.general = problem
            self._of_general = frozenset(failed)

    def _is_general(self, outcome: Judgement) -> bool:
        """Return whether what failed also fails for plain rows, or is left of an earlier call."""
        is_same = self._of_general.issuperset(outcome.failed)
        return is_same or (self.general is not None and self.general[0] is STATE_KEPT)

    def remember(self, outcome: Outcome) -> None:
        """Keep the right numbers of the first and the last input of each shape."""
        if (
            isinstance(outcome, Raised)
            or outcome.failed
            or outcome.refused
            or is_large(outcome.given)
        ):
            return
        self._earlier.setdefault(outcome.given.logits.shape, [])[1:] = [outcome.answer]

    def _of_earlier_call(self, outcome: Judgement) -> Kind | None:
        """Return what is wrong if what failed are the numbers of an earlier input."""
        for earlier in self._earlier.get(outcome.given.logits.shape, ()):
            for name in {*outcome.failed} & earlier.claims.keys():
                claim, before = (as_floats(one.claims[name]) for one in (outcome.answer, earlier))
                is_telling = before.any() and np.isfinite(before).all()
                if is_telling and np.allclose(claim, before, atol=0.0):
                    return STATE_KEPT
        return None

    def _differs_between_calls(self, trial: Trial, outcome: Judgement) -> bool:
        """Return whether another call with the same input gives other numbers."""
        again = self._tried(replace(trial, name=""))
        if isinstance(again, Raised):
            return True
        pairs = (
            (as_floats(outcome.answer.claims[name]), as_floats(again.answer.claims[name]))
            for name in outcome.failed
        )
        return not all(np.allclose(*pair, atol=0.0, equal_nan=True) for pair in pairs)

    def _of_way(self, trial: Trial, outcome: Judgement) -> Kind | None:
        """Return what is wrong if the same numbers, given in the plain way, are right."""
        given = trial.given
        if given.is_plain:
            return None
        plain = self._tried(replace(trial, name="", given=given.plain()))
        if isinstance(plain, Raised) or plain.failed or plain.refused:
            return None
        if given.layout:
            return STRIDES_IGNORED
        return STATE_KEPT if given.before else _of_upstream(outcome)


def named(outcome: Judgement) -> Kind:
    """Return the mistake that explains what failed, the gradient's first."""
    if outcome.holds_other_rows:
        return ROWS_OF_OTHERS
    for name in ("grad_logits", *outcome.mistakes):
        for mistake in outcome.mistakes.get(name, ()):
            return Kind(mistake.name, mistake.explanation, mistake.remedy)
    return UNKNOWN_MISTAKE


def _of_upstream(outcome: Judgement) -> Kind | None:
    """Return what was done with the gradient from above, if it is known."""
    given = outcome.given
    above = given.upstream
    if above is None:
        return None
    done = {
        UPSTREAM_IGNORED: None,
        UPSTREAM_OF_FIRST: above.reshape(-1)[0],
        UPSTREAM_TWICE: above**2,
    }
    for kind, factor in done.items():
        again = replace(given, upstream=factor)
        if not judge(again, outcome.dtype, outcome.plan, outcome.answer).failed:
            return kind
    return None


def candidates(outcome: Outcome) -> set[str]:
    """Return the names of all mistakes that explain the numbers that failed equally well."""
    if isinstance(outcome, Raised) or outcome.refused or not outcome.failed:
        return set()
    return {one.name for mistakes in outcome.mistakes.values() for one in mistakes}


def is_large(given: Input) -> bool:
    """Return whether naming a mistake takes long."""
    return given.logits.size > FEW_NUMBERS
