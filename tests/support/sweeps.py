"""Parameters of a test that only the sweeps have."""

from collections.abc import Iterable, Sequence
from itertools import product

import pytest


def in_sweeps(values: Iterable[object]) -> list[object]:
    """Mark parameters as those of a sweep, to stand after those of the ordinary run.

    A tuple has a value for each of several parameters.
    """
    sets = [value if isinstance(value, tuple) else (value,) for value in values]
    return [pytest.param(*one, marks=pytest.mark.sweep) for one in sets]


def combined(*values: Sequence[object]) -> list[object]:
    """Return all combinations of values: in the ordinary run each value once, in sweeps the rest.

    The shorter sequences are repeated beside the longest one.
    """
    count = max(map(len, values))
    ordinary = [tuple(some[place % len(some)] for some in values) for place in range(count)]
    return [*ordinary, *in_sweeps(one for one in product(*values) if one not in ordinary)]
