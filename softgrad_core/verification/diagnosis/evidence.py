"""What is known of a mistake over many records: which one explains most of them."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from softgrad_core.verification.diagnosis.catalogue import CATALOGUE, Mistake
from softgrad_core.verification.diagnosis.recognition import Fit, with_parameter
from softgrad_core.verification.diagnosis.verdict import VerifiedQuantity, by_set

NEARLY_AS_MANY = 0.95
"""What gives the numbers of so many of the records that the best does is an alternative to it."""

ENOUGH_FOR_A_CERTAIN_ONE = 0.2
"""A more general mistake is named only where no certain one gives so many of its records."""

MOST_FINDINGS = 5

SAME_PARAMETER = 0.01
"""Parameters of different blocks that are so near to each other are the same."""

MOST_SETS = 20_000
"""So many different sets of mistakes are kept apart; few are met unless all records differ."""

MOST_VALUES = 100
"""So many values of a parameter that are the same to three digits are counted."""

_MISTAKES = {mistake.name: mistake for mistake in CATALOGUE}

_FORMS = [
    (mistake.name, form.formula)
    for mistake in CATALOGUE
    for forms in mistake.gives.values()
    for form in forms
]

_ORDER = {form: place for place, form in enumerate(_FORMS)}


class Finding(NamedTuple):
    """A mistake that was recognised, and in how many of the records that failed."""

    mistake: Mistake
    formula: str
    """What was returned, with the value of its parameter where that is the same in all records."""
    records: int
    """The number of records in which the formula gives the claim."""


class _Key(NamedTuple):
    """A mistake in one of its forms, with about one value of its parameter."""

    name: str
    formula: str
    parameter: float
    """To three digits, so that there are few; 0 where there is none."""


def _key(fit: Fit) -> _Key:
    parameter = 0.0 if fit.parameter is None else float(f"{fit.parameter:.3g}")
    return _Key(fit.mistake.name, fit.formula, parameter)


class Evidence:
    """What is known of one quantity over many records."""

    def __init__(self) -> None:
        self.failed = 0
        self._sets: Counter[frozenset[_Key]] = Counter()
        self._values: dict[_Key, Counter[float]] = {}

    def add(self, quantity: VerifiedQuantity) -> None:
        """Add the records that failed."""
        failed = quantity.comparison.failed
        self.failed += int(np.count_nonzero(failed))
        for fit in quantity.fits:
            key = _key(fit)
            if fit.parameter is not None:
                self._add_value(key, fit.parameter, len(fit.shared))
        shared = [fit.shared for fit in quantity.fits]
        for rows, fitting in by_set(failed, quantity.fits, shared):
            self._add_set(frozenset(map(_key, fitting)), len(rows))

    def join(self, other: "Evidence") -> None:
        """Add what is known of the records that follow."""
        self.failed += other.failed
        for key, values in other._values.items():
            for value, records in values.items():
                self._add_value(key, value, records)
        for keys, records in other._sets.items():
            self._add_set(keys, records)

    def _add_value(self, key: _Key, value: float, records: int) -> None:
        if key not in self._values and len(self._values) >= MOST_SETS:
            return
        values = self._values.setdefault(key, Counter())
        if value in values or len(values) < MOST_VALUES:
            values[value] += records

    def _add_set(self, keys: frozenset[_Key], records: int) -> None:
        if keys not in self._sets and len(self._sets) >= MOST_SETS:
            keys = frozenset(key for key in keys if not key.parameter)
        self._sets[keys] += records

    def findings(self, records: int) -> tuple[list[list[Finding]], int]:
        """Return what explains the records that failed, and how many nothing explains.

        The first list is what explains most of them: the simplest mistake, and the others that
        explain nearly as many. The next is what explains most of the rest, and so on. A batch of
        exactly as many records as there are here is no coincidence.
        """
        merged = _Merged(self._values)
        left = Counter[frozenset[_Key]]()
        for keys, count in self._sets.items():
            left[frozenset(map(merged.key, keys))] += count
        groups: list[list[Finding]] = []
        while len(groups) < MOST_FINDINGS:
            support = Counter[_Key]()
            for keys, count in left.items():
                for key in keys:
                    support[key] += count
            if not support:
                break
            best = _likely(support, merged, records)
            groups.append(
                [Finding(_MISTAKES[key.name], merged.formula(key), support[key]) for key in best]
            )
            left = Counter({keys: n for keys, n in left.items() if not keys.intersection(best)})
        return groups, left.total()


def _likely(support: Counter[_Key], merged: "_Merged", records: int) -> list[_Key]:
    """Return the simplest of the mistakes that explain most, and its alternatives."""
    most = max(support.values())
    for generality in range(3):
        level = [key for key in support if _MISTAKES[key.name].generality == generality]
        best = max((support[key] for key in level), default=0)
        if best >= ENOUGH_FOR_A_CERTAIN_ONE * most:
            break
    level.sort(key=lambda key: (-support[key], _ORDER[key[:2]], key.parameter))
    first_of = {key.name: key for key in reversed(level)}
    likely = [key for key in first_of.values() if support[key] >= NEARLY_AS_MANY * best]
    of_batch = [
        key for key in likely if _MISTAKES[key.name].is_whole and merged.value(key) == records
    ]
    return sorted(of_batch or likely, key=lambda key: _ORDER[key[:2]])


class _Merged:
    """Keys whose parameters are neighbours are one, with the value that most records have."""

    def __init__(self, values: dict[_Key, Counter[float]]) -> None:
        self._first: dict[_Key, _Key] = {}
        self._values: dict[_Key, Counter[float]] = {}
        last = first = _Key("", "", 0.0)
        for key in sorted(values, key=lambda key: (key[:2], key.parameter)):
            step = key.parameter - last.parameter
            if key[:2] != last[:2] or step > SAME_PARAMETER * abs(key.parameter):
                first = key
            self._first[key] = first
            self._values.setdefault(first, Counter()).update(values[key])
            last = key

    def key(self, key: _Key) -> _Key:
        """Return the key that stands for this one and its neighbours."""
        return self._first.get(key, key)

    def value(self, key: _Key) -> float | None:
        """Return the parameter of a key, if it has one."""
        values = self._values.get(key)
        return values.most_common(1)[0][0] if values else None

    def formula(self, key: _Key) -> str:
        """Return the formula of a key, with the value of its parameter."""
        return with_parameter(key.formula, _MISTAKES[key.name], self.value(key))
