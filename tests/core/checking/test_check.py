"""The numerical check: it catches 1e-12 in any component and raises no false alarm."""

import math
from decimal import Decimal, localcontext
from itertools import islice

import mpmath
import numpy as np
import pytest
from support.objectives import problems
from support.oracle import exact
from support.rows import adversarial_rows, faint_rows, random_rows, sampled, wide_rows

from softgrad_core import Verdict, check_gradients, softmax_cross_entropy
from softgrad_core.checking.differences import difference_loss
from softgrad_core.loss.from_options import objective_of

PLANTED = 1e-12


def tiny_rows(count):
    """Return rows whose second class has a probability from 1 down to 1e-300."""
    return [([0.0, -math.log(10) * size, 1.0], 0) for size in range(0, 300, 300 // count)]


@pytest.mark.parametrize(
    "rows",
    [
        *sampled("random", lambda count: random_rows(count, seed=1), 8_000),
        *sampled("adversarial", lambda count: adversarial_rows(count, seed=2), 6_000),
        *sampled("wide", lambda count: islice(wide_rows(seed=3), count), 15),
        *sampled("faint", lambda count: islice(faint_rows(), count), 112),
    ],
)
def test_correct_gradients_raise_no_alarm(rows):
    for logits, target in rows:
        result = softmax_cross_entropy(logits, target)
        [check] = check_gradients(logits, target, result.grad_probs, result.grad_logits)
        assert check.passed is not False, f"false alarm for {logits}, {target}: {check}"


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    "rows",
    [
        *sampled("random", lambda count: list(random_rows(count, 4, max_classes=8)), 300),
        *sampled("adversarial", lambda count: list(adversarial_rows(count, seed=5)), 360),
        *sampled("tiny", tiny_rows, 300),
    ],
)
def test_an_error_of_1e_12_in_any_one_component_is_caught(rows, sign):
    for logits, target in rows:
        result = softmax_cross_entropy(logits, target)
        for name in ("grad_probs", "grad_logits"):
            right = getattr(result, name)
            for place in np.flatnonzero((abs(right) >= 1e-300) & np.isfinite(right)):
                wrong = right.copy()
                wrong[place] *= 1 + sign * PLANTED
                given = {"grad_probs": result.grad_probs, "grad_logits": result.grad_logits}
                [check] = check_gradients(logits, target, **{**given, name: wrong})
                comparison = getattr(check, name)
                assert check.passed is False
                assert comparison.verdict is Verdict.FAIL
                assert comparison.worst_class == place


@pytest.mark.parametrize("name", ["grad_probs", "grad_logits"])
@pytest.mark.parametrize("value", [5e-324, -1e-300, 1.0, math.inf, math.nan])
def test_a_component_that_should_be_zero_must_be_exactly_zero(name, value):
    logits, target = [0.0, -math.inf, 1.0], 0
    result = softmax_cross_entropy(logits, target)
    given = {"grad_probs": result.grad_probs, "grad_logits": result.grad_logits}
    wrong = given[name].copy()
    wrong[1] = value
    [check] = check_gradients(logits, target, **{**given, name: wrong})
    assert getattr(check, name).verdict is Verdict.FAIL


def test_underflowed_and_infinite_components_are_uninformative_and_not_passed():
    logits, target = [2000.0, 0.0], 1
    result = softmax_cross_entropy(logits, target)
    [check] = check_gradients(logits, target, result.grad_probs, result.grad_logits)
    assert [part.verdict for part in check.grad_probs.components] == ["pass", "uninformative"]
    assert check.grad_logits.verdict is Verdict.PASS

    result = softmax_cross_entropy(logits, 0)
    [check] = check_gradients(logits, 0, result.grad_probs, result.grad_logits)
    assert check.grad_logits.verdict is Verdict.UNINFORMATIVE
    assert check.grad_logits.max_relative_error is None
    assert check.grad_logits.uninformative == 2


def test_a_wrong_value_fails_even_where_the_right_one_underflows():
    [check] = check_gradients([2000.0, 0.0], 0, [-1.0, 0.0], [0.0, 1e-300])
    assert check.grad_logits.verdict is Verdict.FAIL


def test_a_masked_target_leaves_nothing_to_check():
    logits = [0.0, -math.inf]
    result = softmax_cross_entropy(logits, 1)
    [check] = check_gradients(logits, 1, result.grad_probs, result.grad_logits)
    assert check.passed is None
    assert check.grad_probs.verdict is Verdict.UNINFORMATIVE
    assert check.grad_logits.verdict is Verdict.UNINFORMATIVE


@pytest.mark.parametrize("logits", [[1e300, 0.0], [2000.0, 0.0], [1.7e308, -1.7e308]])
def test_an_underflow_has_the_same_verdict_however_far_it_goes(logits):
    result = softmax_cross_entropy(logits, 0)
    [check] = check_gradients(logits, 0, result.grad_probs, result.grad_logits)
    assert check.grad_logits.verdict is Verdict.UNINFORMATIVE


def test_a_probability_at_the_limit_of_the_decimals_is_no_error():
    logits = [2.3025850929940457e18, 11.982008545]
    for target in (0, 1):
        result = softmax_cross_entropy(logits, target)
        [check] = check_gradients(logits, target, result.grad_probs, result.grad_logits)
        assert check.passed


@pytest.mark.parametrize("tolerance", [math.nan, 0.0, -1.0, math.inf])
def test_a_tolerance_that_is_not_positive_and_finite_is_refused(tolerance):
    with pytest.raises(ValueError, match="expected a tolerance above 0, got"):
        check_gradients([0.0, 0.0], 0, [-2.0, 0.0], [-0.5, 0.5], tolerance=tolerance)


def test_the_tolerance_can_be_changed():
    gradients = ([-2.0, 0.0], [-0.5, 0.5001])
    assert not check_gradients([0.0, 0.0], 0, *gradients)[0].passed
    assert check_gradients([0.0, 0.0], 0, *gradients, tolerance=1e-3)[0].passed


def test_differences_agree_with_the_exact_derivatives_to_twenty_digits():
    for logits, target in random_rows(60, seed=6):
        objective = objective_of(target, (len(logits),))
        by_probs, by_logits = difference_loss(np.array(logits), objective)
        expected = exact(logits, target)
        for got, should in zip(
            (*by_probs.values, *by_logits.values),
            (*expected.grad_probs, *expected.grad_logits),
            strict=True,
        ):
            # Numbers beyond these overflow or underflow, so the check gives no verdict on them.
            if should and not mpmath.mpf("1e-400") < abs(should) < mpmath.mpf("1e400"):
                continue
            with mpmath.workprec(200):
                error = abs(mpmath.mpf(str(got)) - should)
                assert error <= abs(should) * mpmath.mpf("1e-20")


def test_each_row_of_a_block_has_its_own_check():
    logits = np.random.default_rng(7).normal(size=(3, 4))
    result = softmax_cross_entropy(logits, [0, 1, 2])
    wrong = result.grad_logits.copy()
    wrong[1, 3] *= 1.01
    checks = check_gradients(logits, [0, 1, 2], result.grad_probs, wrong)
    assert [check.passed for check in checks] == [True, False, True]
    assert checks[1].grad_logits.worst_class == 3


def test_gradients_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"expected grad_logits of the shape .* got \(3,\)"):
        check_gradients([0.0, 0.0], 0, [-2.0, 0.0], [-0.5, 0.25, 0.25])


def test_the_caller_s_decimal_context_does_not_matter():
    with localcontext(prec=3):
        [check] = check_gradients([0.0, 1.0], 0, *_gradients([0.0, 1.0], 0))
        assert check.passed
        assert Decimal(1) / 3 == Decimal("0.333")


def _gradients(logits, target):
    result = softmax_cross_entropy(logits, target)
    return result.grad_probs, result.grad_logits


@pytest.mark.parametrize(
    "rows",
    [
        *sampled("random", lambda count: random_rows(count, seed=31), 1_000),
        *sampled("adversarial", lambda count: adversarial_rows(count, seed=32), 1_200),
    ],
)
def test_a_planted_error_is_caught_and_no_alarm_is_false_whatever_the_options(rows):
    rng = np.random.default_rng(33)
    for problem in problems((row for row in rows if len(row[0]) <= 50), seed=34):
        logits, target, options = problem
        result = softmax_cross_entropy(logits, target, **options)
        [check] = check_gradients(logits, target, result.grad_probs, result.grad_logits, **options)
        assert check.passed is not False, problem
        sizes = np.array([float(term) for term in problem.exact().terms])
        sizes = np.maximum(sizes, np.abs(result.grad_logits))
        c = int(rng.choice(len(logits)))
        if not 1e-290 < sizes[c] < 1e300:
            continue
        planted = result.grad_logits.copy()
        planted[c] += 1e-12 * sizes[c] * rng.choice([-1, 1])
        [check] = check_gradients(logits, target, result.grad_probs, planted, **options)
        assert check.grad_logits.components[c].verdict == "fail", problem
