"""What many records say together: which mistakes explain most of the failures."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from softgrad_core.loss.objective import BoolArray
from softgrad_core.verification.diagnosis.mistake import Mistake
from softgrad_core.verification.diagnosis.recognition import Fit, by_set, forms_of

NEARLY_AS_MANY = 0.95  # The share of the best mistake's records that an alternative must explain.
# The share of the records of a more general mistake that one needs: a certain one, and a constant
# that records should share.
ENOUGH = (0.2, 0.5, 0.0)
SAME_PARAMETER = 0.01  # The largest relative distance of parameters that count as the same.
MOST_FINDINGS = 5
# The most sets of mistakes, and values of a parameter, that are counted: without a limit they would
# fill the memory if every record had a parameter of its own.
MOST_SETS = 20_000
MOST_VALUES = 100

Key = tuple[int, float]
"""The place of a formula in the catalogue, and its parameter to three digits, 0 for none."""


class Finding(NamedTuple):
    """A mistake, its formula with the parameter, and the number of records that it explains."""

    mistake: Mistake
    formula: str
    records: int


class Evidence:
    """What is known of the claims of one quantity, counted block by block."""

    def __init__(self, quantity: str) -> None:
        self._quantity = quantity
        self._sets: Counter[frozenset[Key]] = Counter()
        self._values: dict[Key, Counter[float]] = {}

    def add(self, failed: BoolArray, fits: Sequence[Fit]) -> None:
        """Add a block of records: which failed, and the mistakes that were recognised."""
        for fit in fits:
            if fit.parameter is not None:
                self._add_value(_key(fit), fit.parameter, len(fit.shared))
        for rows, fitting in by_set(failed, fits, [fit.shared for fit in fits]):
            self._add_set(frozenset(map(_key, fitting)), len(rows))

    def join(self, other: "Evidence") -> None:
        """Add what is known of the records that follow."""
        for key, values in other._values.items():
            for value, records in values.items():
                self._add_value(key, value, records)
        for keys, records in other._sets.items():
            self._add_set(keys, records)

    def _add_value(self, key: Key, value: float, records: int) -> None:
        if key not in self._values and len(self._values) >= MOST_SETS:
            return
        values = self._values.setdefault(key, Counter())
        if value in values or len(values) < MOST_VALUES:
            values[value] += records

    def _add_set(self, keys: frozenset[Key], records: int) -> None:
        if keys not in self._sets and len(self._sets) >= MOST_SETS:
            keys = frozenset((place, value) for place, value in keys if not value)
        self._sets[keys] += records

    def findings(self, records: int) -> tuple[list[list[Finding]], int]:
        """Return what explains the records that failed, and how many nothing explains.

        The first list has the simplest mistake that explains most of them, and the others that
        explain nearly as many; the next list has what explains most of the rest, and so on.
        `records` is the number of all records, those that passed included.
        """
        first_of, value_of = _merged(self._values)
        left = Counter[frozenset[Key]]()
        for keys, count in self._sets.items():
            left[frozenset(first_of.get(key, key) for key in keys)] += count
        groups: list[list[Finding]] = []
        while len(groups) < MOST_FINDINGS:
            support = Counter[Key]()
            for keys, count in left.items():
                support.update(dict.fromkeys(keys, count))
            if not support:
                break
            likely = self._likely(support)
            # A batch of exactly as many records as there are is no coincidence.
            of_all = [
                key
                for key in likely
                if self._mistake(key).is_whole and value_of.get(key) == records
            ]
            best = of_all or likely
            groups.append([])
            for key in best:
                mistake, form = forms_of(self._quantity)[key[0]]
                formula = mistake.with_parameter(form.formula, value_of.get(key))
                groups[-1].append(Finding(mistake, formula, support[key]))
            left = Counter({keys: n for keys, n in left.items() if not keys.intersection(best)})
        return groups, left.total()

    def _likely(self, support: Counter[Key]) -> list[Key]:
        """Return the mistakes that explain most records, one formula of each, simplest first."""
        most = max(support.values())
        for generality in range(3):
            level = [key for key in support if self._mistake(key).generality == generality]
            best = max((support[key] for key in level), default=0)
            if best >= ENOUGH[generality] * most:
                break
        level.sort(key=lambda key: (-support[key], key))
        first_of = {self._mistake(key).name: key for key in reversed(level)}
        return sorted(key for key in first_of.values() if support[key] >= NEARLY_AS_MANY * best)

    def _mistake(self, key: Key) -> Mistake:
        return forms_of(self._quantity)[key[0]][0]


def _key(fit: Fit) -> Key:
    return fit.place, 0.0 if fit.parameter is None else float(f"{fit.parameter:.3g}")


def _merged(values: dict[Key, Counter[float]]) -> tuple[dict[Key, Key], dict[Key, float]]:
    """Return for each key the first one with about its parameter, and the value that most have."""
    first_of: dict[Key, Key] = {}
    counts: dict[Key, Counter[float]] = {}
    last = first = (-1, 0.0)
    for key in sorted(values):
        if key[0] != last[0] or key[1] - last[1] > SAME_PARAMETER * abs(key[1]):
            first = key
        first_of[key] = first
        counts.setdefault(first, Counter()).update(values[key])
        last = key
    return first_of, {key: count.most_common(1)[0][0] for key, count in counts.items()}
