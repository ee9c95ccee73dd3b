"""Rows of logits: random ones of every scale, and ones that are known to cause trouble."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

Row = tuple[list[float], int]

SWEEP = 50
"""A sweep has so many times the rows of the ordinary test."""

FEWEST = 6
"""The fewest rows of an ordinary test."""


def sampled(name: str, rows: Callable[[int], Iterator[Row]], count: int) -> list[object]:
    """Return two parameters for a test: a few rows, and all `count` rows, marked as a sweep."""
    return [
        pytest.param(rows(max(FEWEST, count // SWEEP)), id=name),
        pytest.param(rows(count), id=f"{name}, all", marks=pytest.mark.sweep),
    ]


def random_rows(count: int, seed: int, max_classes: int = 20) -> Iterator[Row]:
    """Yield rows of scales 1e-3 to 1e300, some with an offset, half with the target on top."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        classes = int(rng.integers(2, max_classes + 1))
        scale = 10.0 ** rng.choice([rng.uniform(-3, 3), rng.uniform(-3, 1), rng.uniform(3, 300)])
        logits = rng.normal(size=classes) * scale
        if rng.random() < 0.3:
            logits += rng.choice([1.0, 1e4, 1e8, -1e8, 1e15])
        yield logits.tolist(), _some_target(rng, logits)


def adversarial_rows(count: int, seed: int) -> Iterator[Row]:
    """Yield confident rows, ties, near ties, subnormal results, masks and the largest floats."""
    rng = np.random.default_rng(seed)
    makers = [
        # One class far ahead: the loss and the gradient at the target are tiny.
        lambda: np.array([rng.uniform(0, 800), *rng.normal(size=int(rng.integers(1, 6)))]),
        # Ties, exact or up to the last place.
        lambda: np.repeat(rng.normal() * 10.0 ** rng.integers(0, 9), int(rng.integers(2, 12))),
        lambda: (
            np.nextafter(np.repeat(rng.normal(), int(rng.integers(2, 6))), rng.choice([-9.0, 9.0]))
            * rng.choice([1.0, 1 + 2**-52], size=1)
        ),
        # Offsets that leave few digits to the differences.
        lambda: rng.choice([1e8, -1e8, 1e12, 2.0**52]) + rng.normal(size=5) * 100,
        # Probabilities around the smallest normal and subnormal numbers, and just below.
        lambda: np.array([0.0, -rng.uniform(700, 750), -rng.uniform(0, 760)]),
        # 1 / f(x)_y around the largest number.
        lambda: np.array([0.0, -rng.uniform(709.7, 709.9), *(-rng.uniform(700, 720, size=2))]),
        lambda: rng.uniform(-710, -700, size=3) + np.array([710.0, 0, 0]),
        # The largest floats, of both signs.
        lambda: rng.choice([1.7e308, -1.7e308, 1.7976931348623157e308, 0.0, 1.0], size=4),
        # Masked classes, never all of them.
        lambda: np.where([False, *(rng.random(6) < 0.5)], -math.inf, rng.normal(size=7) * 10),
        # Classes masked by a large negative number instead of -inf.
        lambda: np.where(
            [False, *(rng.random(6) < 0.5)],
            -rng.choice([1e3, 1e4, 1e9, 1e30, 2.45e41, 3.4e38]),
            rng.normal(size=7) * 10,
        ),
        # Tiny logits: everything is near uniform.
        lambda: rng.normal(size=4) * 10.0 ** rng.uniform(-320, -10),
        # Two neighbouring floats.
        lambda: np.array([3.0, np.nextafter(3.0, 4.0), rng.normal()]) * 10.0 ** rng.integers(0, 9),
    ]
    for turn in range(count):
        logits = makers[turn % len(makers)]()
        yield logits.tolist(), _some_target(rng, logits)


def faint_rows() -> Iterator[Row]:
    """Yield rows whose classes but one are alike and nearly too small for float64."""
    for classes in (10, 33, 200, 1_000, 5_000):
        for d in (-700.0, -710.4911490453998, -714.78, -720.0, -745.1315789473684, -745.14, -746.0):
            for target in (0, 1):
                yield [0.0, *[d] * (classes - 1)], target
                yield [d, 1e-3, *[d] * (classes - 2)], target


def wide_rows(seed: int) -> Iterator[Row]:
    """Yield a few rows of 100 to 10,000 classes."""
    rng = np.random.default_rng(seed)
    for classes in (100, 1_000, 3_000, 10_000):
        for scale in (1e-3, 1.0, 30.0, 300.0):
            logits = rng.normal(size=classes) * scale + rng.choice([0.0, 1e8])
            yield logits.tolist(), _some_target(rng, logits)


def _some_target(rng: np.random.Generator, logits: np.ndarray) -> int:
    if rng.random() < 0.5:
        return int(logits.argmax())
    return int(rng.choice(np.flatnonzero(np.isfinite(logits))))
