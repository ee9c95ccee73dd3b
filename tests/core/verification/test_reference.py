"""The exact values that claims are compared with, against mpmath."""

import math
from itertools import islice

import mpmath
import numpy as np
import pytest
from mpmath import mpf
from support.objectives import problems
from support.oracle import exact
from support.rows import adversarial_rows, faint_rows, random_rows, sampled, wide_rows

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.from_options import objective_of
from softgrad_core.loss.objective import Objective
from softgrad_core.loss.results import LOSSES
from softgrad_core.verification.reference import reference

LARGEST = 1.7976931348623157e308
NUMBERS_OF_LONG_DOUBLE = np.finfo(np.longdouble).nmant


def as_mpf(number):
    """Return a NumPy number of any type without rounding it."""
    mantissa, exponent = np.frexp(number)
    high = np.float64(mantissa)
    low = np.float64(mantissa - high)
    return (mpf(float(high)) + mpf(float(low))) * mpf(2) ** int(exponent)


def distance(number, expected, dtype, size):
    """Return the error of a number in ulp of the type; 0 if both overflow float64."""
    if np.isinf(number) or abs(expected) > LARGEST:
        return 0.0 if abs(expected) > LARGEST * (1 - 1e-15) else math.inf
    with mpmath.workprec(300):
        unit = Dtype(dtype).spacing(np.array([float(abs(size))]))[0]
        return float(abs(as_mpf(number) - expected) / mpf(unit))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(lambda: random_rows(50, seed=5), id="random"),
        pytest.param(lambda: adversarial_rows(66, seed=6), id="adversarial"),
        pytest.param(lambda: islice(faint_rows(), 14), id="faint"),
        pytest.param(lambda: islice(wide_rows(seed=7), 0, 8, 2), id="wide"),
    ],
)
def test_quantities_of_the_plain_loss_are_exact_to_a_small_part_of_an_ulp(rows, dtype):
    if dtype == "float64" and NUMBERS_OF_LONG_DOUBLE < 63:
        pytest.skip("long double has no more digits than float64 here")
    worst = 0.0
    for logits, target in rows():
        if dtype == "float32" and max(map(abs, logits)) > 1e300:
            continue
        objective = Objective(np.array([target]))
        got = reference(np.array(logits)[:, np.newaxis], objective, Dtype(dtype))
        worst = max(worst, largest_distance(got, exact(logits, target), dtype))
    assert worst < Dtype(dtype).reference_ulp / 2


def largest_distance(got, expected, dtype):
    """Return the largest error in ulp; for gradients of logits, in ulp of their terms."""
    worst = 0.0
    for name in got:
        wanted = getattr(expected, name)
        wanted = [wanted] if name in LOSSES else wanted
        sizes = expected.terms if name == "grad_logits" else wanted
        sizes = [expected.loss_size] if name in LOSSES else sizes
        for number, value, size in zip(got[name][:, 0], wanted, sizes, strict=True):
            if dtype == "float64" or (1e-40 < abs(size) < 3e38 and abs(value) > 1e-40):
                worst = max(worst, distance(number, value, dtype, size))
    return worst


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "rows",
    [
        *sampled("random", lambda count: list(random_rows(count, 8)), 600),
        *sampled("adversarial", lambda count: list(adversarial_rows(count, 9)), 600),
    ],
)
def test_quantities_of_any_loss_are_exact_to_a_small_part_of_an_ulp(rows, dtype):
    if dtype == "float64" and NUMBERS_OF_LONG_DOUBLE < 63:
        pytest.skip("long double has no more digits than float64 here")
    worst = 0.0
    for problem in problems((row for row in rows if len(row[0]) < 100), seed=10):
        logits = np.array(problem.logits)
        temperature = problem.options.get("temperature", 1.0)
        if dtype == "float32" and abs(logits[np.isfinite(logits)]).max() / 1e30 > temperature:
            continue
        objective = objective_of(problem.target, logits.shape, **problem.options)
        got = reference(objective.masked(logits[np.newaxis]).T, objective, Dtype(dtype))
        distance = largest_distance(got, problem.exact(), dtype)
        if {"softcap", "z_loss_scale"}.isdisjoint(problem.options):
            worst = max(worst, distance)
        # The long double has 11 more bits, of which differences of capped logits take most: where
        # a probability is just above 0, nearly all.
        assert distance < 0.75, problem
    assert worst < Dtype(dtype).reference_ulp / 2


def test_quantities_of_a_masked_target_are_exact():
    got = reference(np.array([[0.0], [-math.inf], [0.0]]), Objective(np.array([1])), Dtype.FLOAT64)
    assert {name: values[:, 0].astype(float).tolist() for name, values in got.items()} == {
        "probs": [0.5, 0.0, 0.5],
        "log_probs": [math.log(0.5), -math.inf, math.log(0.5)],
        "loss": [math.inf],
        "grad_probs": [0.0, -math.inf, 0.0],
        "grad_logits": [0.5, -1.0, 0.5],
    }
