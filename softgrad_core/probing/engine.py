"""Trial by trial: inputs are tried, and what is wrong is made small and named."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches

import numpy as np
import numpy.typing as npt

from softgrad_core.dtypes import Dtype
from softgrad_core.errors import InputError
from softgrad_core.probing.events import Event, Finding, Trial, Tried, Upcoming
from softgrad_core.probing.frameworks import Answer, Function, UnusableError
from softgrad_core.probing.inputs import Input, Plan
from softgrad_core.probing.judging import KINDS, Judgement, Kind, as_floats
from softgrad_core.probing.naming import (
    Namer,
    Outcome,
    Problem,
    Raised,
    candidates,
    is_large,
)
from softgrad_core.probing.search import MOST_NUMBERS, SEARCHED, Search
from softgrad_core.probing.shrinking import shrunk
from softgrad_core.probing.together import judge_all
from softgrad_core.probing.trials import NAMED, PLAIN, RANDOM, Draw, input_of
from softgrad_core.verification.diagnosis.catalogue import CATALOGUE

GIVEN = "given inputs"

SHRINKING_SECONDS = 3.0
"""How long a failing input is made smaller."""

MOST_TOGETHER = 64
"""How many random inputs are drawn and judged together, at most."""

PATIENCE = 0.25
"""After so many seconds, what the function gave is judged before it is called again."""


class Engine:
    """Tries inputs, one after another.

    Parameters
    ----------
    function, plan
        The function, and what is known of it.
    dtypes
        The types of the logits.
    seconds
        How long random inputs are tried, counted from the start.
    seed
        The same seed gives the same trials.
    skip
        The names of trials and of mistakes that are left out.

    Raises UnusableError if there is no trial or mistake of a name.
    """

    def __init__(  # noqa: PLR0913 - each is an option of the command
        self,
        function: Function,
        plan: Plan,
        dtypes: Sequence[Dtype],
        *,
        seconds: float,
        seed: int = 0,
        skip: Sequence[str] = (),
    ) -> None:
        _refuse_unknown(skip)
        self._function, self._plan, self._dtypes = function, plan, dtypes
        self._seconds, self._seed, self._skip = seconds, seed, frozenset(skip)
        self._namer = Namer(self._tried)
        self._has_upstream = True
        self._patience = PATIENCE
        self.at = 0
        """The number of the trial that the function is called for."""

    def events(
        self,
        first: int = 0,
        without: Collection[int] = (),
        given: Sequence[Input] | None = None,
    ) -> Iterator[Event]:
        """Yield what happens, from the trial of this number on; or with the given inputs alone.

        Trials of some numbers may be left out: those that ended the process before. Others may do
        so as well, so that each is judged before the next one is made.
        """
        self._patience = 0.0 if without else PATIENCE
        until = time.monotonic() + self._seconds
        searches: dict[Dtype, Search] = {}
        stacks = self._of_inputs(given) if given is not None else self._stacks(searches, until)
        for stack in stacks:
            left = [one for one in stack if one.number not in without]
            if left and left[0].name == PLAIN and left[0].number < first:
                self._tried(left[0])  # It shows whether gradients come from above.
            left = [one for one in left if one.number >= first]
            while left and not (left[0].name == RANDOM and time.monotonic() > until):
                yield Upcoming(left)
                outcomes = self._outcomes(left)
                for trial, outcome in zip(left, outcomes, strict=False):
                    self._learn(searches, trial, outcome)
                    yield from self._findings(trial, outcome)
                left = left[len(outcomes) :]

    def _of_inputs(self, inputs: Sequence[Input]) -> Iterator[list[Trial]]:
        both = ((dtype, given) for dtype in self._dtypes for given in inputs)
        for number, (dtype, given) in enumerate(both):
            yield [Trial(number, GIVEN, GIVEN, dtype, given)]

    def _stacks(self, searches: dict[Dtype, Search], until: float) -> Iterator[list[Trial]]:
        """Yield the named trials for each type, and random ones while there is time.

        Those that can be judged together are in one list.
        """
        yield from _grouped(self._named())
        entries = [
            entry
            for entry in NAMED
            if entry.family in SEARCHED and not self._leaves_out(entry.name, entry.family)
        ]
        searches.update({dtype: Search(entries) for dtype in self._dtypes})
        named = number = len(NAMED) * len(self._dtypes)
        # What is wrong in general hides everything else.
        while self._namer.general is None and time.monotonic() < until:
            dtype = self._dtypes[number % len(self._dtypes)]
            rng = np.random.default_rng([self._seed, len(NAMED), number])
            # Few at first: a slow function is to see many shapes as well.
            most = min(MOST_TOGETHER, 1 + (number - named) // 8)
            drawn = searches[dtype].next(Draw(rng, dtype, self._plan), most)
            trials = enumerate(drawn, number + 1)
            yield [Trial(place, RANDOM, RANDOM, dtype, given) for place, given in trials]
            number += max(1, len(drawn))

    def _named(self) -> Iterator[Trial]:
        number = 0
        for dtype in self._dtypes:
            for place, entry in enumerate(NAMED):
                number += 1
                if self._leaves_out(entry.name, entry.family):
                    continue
                draw = Draw(np.random.default_rng([self._seed, place]), dtype, self._plan)
                given = input_of(entry, draw)
                if given is not None and self._plan.have_softmax(given).all():
                    yield Trial(number, entry.name, entry.family, dtype, given)

    def _leaves_out(self, name: str, family: str) -> bool:
        """Return whether a trial is left out, or means nothing for the function."""
        means_nothing = {
            "upstream": not self._has_upstream,
            "layout": not self._function.has_strides,
        }
        return name in self._skip or means_nothing.get(family, False)

    def _tried(self, trial: Trial) -> Outcome:
        """Call the function with an input, and judge what it gives."""
        [outcome] = self._outcomes([trial])
        return outcome

    def _outcomes(self, trials: Sequence[Trial]) -> list[Outcome]:
        """Return what becomes of the first trials: of as many as take little time."""
        started = time.monotonic()
        answers: list[Answer | Raised] = []
        for trial in trials:
            answers.append(self._called(trial))
            if time.monotonic() - started >= self._patience:
                break
        told = [
            (trial.given, answer)
            for trial, answer in zip(trials, answers, strict=False)
            if not isinstance(answer, Raised)
        ]
        judged = iter(judge_all(told, trials[0].dtype, self._plan))
        return [one if isinstance(one, Raised) else next(judged) for one in answers]

    def _called(self, trial: Trial) -> Answer | Raised:
        self.at = trial.number
        try:
            answer = self._function.answer(trial.given, trial.dtype, self._plan)
        except (UnusableError, InputError):
            raise
        except (Exception, SystemExit) as error:
            if trial.name == PLAIN:
                raise
            return Raised(error)
        if trial.name == PLAIN:
            self._has_upstream = answer.is_differentiated
        return answer

    def _learn(self, searches: Mapping[Dtype, Search], trial: Trial, outcome: Outcome) -> None:
        """Keep what may explain later answers, or lead to larger errors."""
        self._namer.remember(outcome)
        if trial.name == RANDOM and isinstance(outcome, Judgement) and not outcome.failed:
            searches[trial.dtype].add(trial.given, outcome.worst_ulp)

    def _findings(self, trial: Trial, outcome: Outcome) -> Iterator[Event]:
        """Yield what a trial found that was not found before, and what became of the trial."""
        found = ""
        for problem in self._namer.problems(trial, outcome):
            kind, key = problem
            if kind.name in self._skip:
                continue
            found = found or kind.name
            if self._namer.is_known(key):
                continue
            given, smallest = self._smallest(trial, outcome, problem)
            if is_large(trial.given) and given is not trial.given:
                # A smaller input may show which mistake it is.
                problem = next(self._namer.problems(replace(trial, given=given), smallest))  # noqa: PLW2901
            if not self._namer.is_known(problem[1]):
                failed = outcome.failed if isinstance(outcome, Judgement) else ()
                self._namer.add(problem, trial, given, failed)
                yield self._finding(trial, given, smallest, problem[0])
        worst_ulp = outcome.worst_ulp if isinstance(outcome, Judgement) else 0.0
        yield Tried(trial.number, trial.name, found, worst_ulp)

    def _smallest(self, trial: Trial, outcome: Outcome, problem: Problem) -> tuple[Input, Outcome]:
        """Return the smallest input that shows a problem, and what becomes of it."""
        until = time.monotonic() + SHRINKING_SECONDS
        if trial.name == GIVEN:
            return trial.given, outcome
        known = candidates(outcome)
        given = shrunk(
            trial.given,
            self._plan,
            lambda smaller: self._shows(trial, smaller, problem, known),
            lambda: time.monotonic() > until,
        )
        if given is trial.given:
            return given, outcome
        return given, self._tried(replace(trial, name="", given=given))

    def _finding(self, trial: Trial, given: Input, outcome: Outcome, kind: Kind) -> Finding:
        claims: Mapping[str, npt.NDArray[np.float64]] = {}
        failed: Sequence[str] = ()
        held_to = trial.dtype
        if isinstance(outcome, Judgement):
            claims = {name: as_floats(claim) for name, claim in outcome.answer.claims.items()}
            failed, held_to = outcome.failed, outcome.claim_dtype
        return Finding(
            *kind,
            trial=trial.name,
            dtype=trial.dtype,
            given=given,
            claims=claims,
            failed=failed,
            claim_dtype=held_to,
            details=_details(outcome),
            options=dict(self._plan.options),
        )

    def _shows(self, trial: Trial, smaller: Input, problem: Problem, known: set[str]) -> bool:
        """Return whether a smaller input shows a problem, and none beside those that are known."""
        kind, key = problem
        if not self._plan.have_softmax(smaller).all():
            return False
        again = replace(trial, name="", given=smaller)
        try:
            outcome = self._tried(again)
        except InputError:
            return False
        if is_large(smaller) and isinstance(outcome, Judgement) and outcome.failed:
            return True
        if not any(one == key for _, one in self._namer.problems(again, outcome)):
            return False
        # Smaller inputs often show several mistakes that the first one could tell apart.
        return kind.name in KINDS or candidates(outcome) <= known


def _refuse_unknown(skip: Sequence[str]) -> None:
    """Raise UnusableError if something is left out that there is not."""
    known = [*(entry.name for entry in NAMED), *KINDS, *(one.name for one in CATALOGUE)]
    for name in skip:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UnusableError(f"there is no trial and no mistake {name!r} to skip{hint}")


def _details(outcome: Outcome) -> list[str]:
    """Return what is known of an outcome, in lines."""
    if isinstance(outcome, Raised):
        return [_told(outcome.error)]
    if outcome.reason:
        return [outcome.reason]
    return [line for one in outcome.verifications for line in one.summary().lines()[:-1]]


def _told(error: BaseException) -> str:
    """Return an error in one line, and where it was raised."""
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    place = ""
    if frames is not None:
        place = f" ({frames.tb_frame.f_code.co_filename}, line {frames.tb_lineno})"
    said = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {said}{place}"


def _grouped(trials: Iterable[Trial]) -> Iterator[list[Trial]]:
    """Yield trials of one shape that follow each other together; what is plain comes alone."""
    stack: list[Trial] = []
    for trial in trials:
        if stack and not _is_alike(trial, stack):
            yield stack
            stack = []
        stack.append(trial)
        if trial.name == PLAIN:
            # What is tried next depends on what becomes of it.
            yield stack
            stack = []
    if stack:
        yield stack


def _is_alike(trial: Trial, stack: Sequence[Trial]) -> bool:
    """Return whether a trial can be judged together with those of a stack."""
    logits, others = trial.given.logits, stack[0].given.logits
    is_same = trial.dtype is stack[0].dtype and logits.shape == others.shape
    return is_same and logits.size * (len(stack) + 1) <= MOST_NUMBERS
