"""Parameters of a test that only the sweeps have."""

from collections.abc import Iterable

import pytest


def in_sweeps(values: Iterable[object]) -> list[object]:
    """Mark parameters as those of a sweep, to stand after those of the ordinary run.

    A tuple has a value for each of several parameters.
    """
    sets = [value if isinstance(value, tuple) else (value,) for value in values]
    return [pytest.param(*one, marks=pytest.mark.sweep) for one in sets]
