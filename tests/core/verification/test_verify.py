"""verify: claims pass, fail, or cannot be judged."""

import math

import mpmath
import numpy as np
import pytest
from support.objectives import problems
from support.oracle import exact, ulps
from support.planted import DTYPES, rounder
from support.rows import adversarial_rows, random_rows, sampled
from support.sweeps import combined

from softgrad_core import InputError, Verdict, VerificationError, softmax_cross_entropy, verify
from softgrad_core.loss.from_options import objective_of
from softgrad_core.verdicts import RANKED
from softgrad_core.verification.reference import QUANTITIES
from softgrad_core.verification.tolerances import Tolerance
from softgrad_core.verification.verify import verify_rows

ROW = [2.0, 1.0, 0.1]
RIGHT = exact(ROW, 0)
GRADIENT = [float(value) for value in RIGHT.grad_logits]


def verdicts(result, name="grad_logits", row=0):
    ranks = result.quantities[name].components(row).ranks
    return [RANKED[rank].value for rank in ranks]


def verdict(result, name="grad_logits", row=0):
    return RANKED[result.quantities[name].comparison.ranks[row]]


def neighbour(value, steps):
    """Return the float64 that is `steps` units in the last place further from 0."""
    return value + steps * math.ulp(value) * math.copysign(1, value)


@pytest.mark.parametrize("name", [name for name in QUANTITIES if name != "z_loss"])
def test_correctly_rounded_claims_are_half_an_ulp_off_at_most(name):
    for logits, target in random_rows(30, seed=1):
        wanted = getattr(exact(logits, target), name)
        claim = float(wanted) if name == "loss" else [float(value) for value in wanted]
        result = verify(logits, target, ulp=0.5, **{name: claim})
        assert result.passed, str(result)
        assert result.quantities[name].comparison.max_error_ulp[0] <= 0.51


@pytest.mark.parametrize(("steps", "place"), combined((1, 2, 3, 10), (0, 1, 2)))
def test_errors_are_measured_to_a_hundredth_of_an_ulp(steps, place):
    claim = [*GRADIENT]
    claim[place] = neighbour(claim[place], steps)
    result = verify(ROW, 0, grad_logits=claim, ulp=steps - 0.6)
    expected = ulps(claim[place], RIGHT.grad_logits[place])
    comparison = result.quantities["grad_logits"].comparison
    assert comparison.max_error_ulp[0] == pytest.approx(expected, abs=0.01)
    assert comparison.worst[0] == place
    assert verdict(result) is (Verdict.FAIL if expected > steps - 0.59 else Verdict.PASS)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softgrad_s_own_numbers_are_right_in_every_type(dtype):
    for rows in (random_rows(20, seed=2), adversarial_rows(22, seed=3)):
        for logits, target in rows:
            got = softmax_cross_entropy(logits, target)
            claims = {
                name: rounder(dtype)(getattr(got, name))
                for name in ("probs", "loss", "grad_probs", "grad_logits")
            }
            result = verify(logits, target, dtype=dtype, **claims)
            assert not result.failed, f"{logits} {target}\n{result}"
            exacting = verify(logits, target, dtype=dtype, ulp=4, **claims)
            assert not exacting.failed, f"{logits} {target}\n{exacting}"


def test_an_error_just_above_the_tolerance_fails_and_one_below_passes():
    for place in range(3):
        for factor, expected in ((1.25e-6, Verdict.PASS), (1.4e-6, Verdict.FAIL)):
            claim = [*GRADIENT]
            claim[place] *= 1 + factor
            result = verify(ROW, 0, grad_logits=claim, dtype="float32", rtol=1.3e-6)
            assert verdict(result) is expected


def test_what_passes_by_the_absolute_tolerance_alone_is_uninformative():
    # The exact values are -4.2e-18 and 4.2e-18.
    for claim in ([0.0, 0.0], [1e-6, -1e-6]):
        result = verify([40.0, 0.0], 0, grad_logits=claim, dtype="float32", like="assert_close")
        assert verdicts(result) == ["uninformative", "uninformative"]
        assert not result.failed
        assert result.undecided == [0]
        assert not result.passed
    result = verify([40.0, 0.0], 0, grad_logits=[0.0, 4.2483543e-18], dtype="float32")
    assert verdicts(result) == ["uninformative", "pass"]
    assert result.passed


@pytest.mark.parametrize("options", [{"rtol": 1.0, "atol": 0.0}, {"ulp": 1e20}, {"atol": 1.0}])
def test_zeros_never_pass_however_wide_the_tolerance(options):
    assert not verify(ROW, 0, grad_logits=[0.0, 0.0, 0.0], **options).passed
    assert not verify(ROW, 0, loss=0.0, **options).passed


def test_without_rows_nothing_was_verified():
    result = verify(np.zeros((0, 3)), [], loss=[])
    assert not result.passed
    assert "0 records: nothing was verified" in str(result)


def test_the_verdict_and_the_mistakes_of_a_row_have_methods():
    claims = [GRADIENT, [-value for value in GRADIENT]]
    quantity = verify([ROW, ROW], [0, 0], grad_logits=claims).quantities["grad_logits"]
    assert [quantity.verdict(row) for row in (0, 1)] == [Verdict.PASS, Verdict.FAIL]
    assert [quantity.mistakes(row) for row in (0, 1)] == [[], ["wrong-sign"]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_worst_class_has_the_largest_error(dtype):
    rng = np.random.default_rng(11)
    logits, targets = rng.normal(size=(50, 7)), rng.integers(7, size=50)
    wrong = rng.normal(size=(50, 7))
    quantity = verify(logits, targets, grad_logits=wrong, dtype=dtype).quantities["grad_logits"]
    comparison = quantity.comparison
    for row in range(50):
        errors = quantity.components(row).error_ulp
        assert errors[comparison.worst[row]] == errors.max()
        assert comparison.max_error_ulp[row] == pytest.approx(errors.max(), rel=1e-9)


def test_a_mean_in_place_of_the_losses_of_rows_is_refused():
    with pytest.raises(ValueError, match='for the loss of the whole batch pass reduction="mean"'):
        verify([ROW, ROW], [0, 0], loss=0.4)


def test_without_an_absolute_tolerance_small_numbers_need_their_digits():
    for options in ({"ulp": 4}, {"rtol": 1e-6}):
        result = verify(
            [40.0, 0.0], 0, grad_logits=[0.0, 4.2483543e-18], dtype="float32", **options
        )
        assert verdicts(result) == ["fail", "pass"]


def test_numbers_larger_than_the_absolute_tolerance_may_use_it():
    result = verify(ROW, 0, grad_logits=[g + 9e-6 for g in GRADIENT], atol=1e-5)
    assert verdicts(result) == ["pass", "pass", "pass"]


def test_0_shows_nothing_where_the_type_rounds_to_0():
    for options in ({"ulp": 1}, {}):
        result = verify([200.0, 0.0], 0, probs=[1.0, 0.0], dtype="float32", **options)
        assert verdicts(result, "probs") == ["pass", "uninformative"]
        assert result.passed
    # No number of float64 is nearer to exp(-1000) than 0.
    assert verdicts(verify([1e3, 0.0], 0, probs=[1.0, 0.0]), "probs") == ["pass", "pass"]


def test_a_subnormal_number_for_which_0_would_pass_is_uninformative():
    # exp(-103) is 0.9 of the smallest float32.
    result = verify([103.0, 0.0], 0, probs=[1.0, 3e-45], dtype="float32", ulp=2)
    assert verdicts(result, "probs") == ["pass", "uninformative"]


def test_infinity_does_not_fail_where_the_type_overflows():
    for logits, dtype in (([0.0, 100.0], "float32"), ([0.0, 20.0], "float16"), ([0, 800], None)):
        result = verify(logits, 0, grad_probs=[-math.inf, 0.0], dtype=dtype)
        assert verdicts(result, "grad_probs")[0] == ("uninformative" if dtype else "pass")
        assert not result.failed
        assert result.quantities["grad_probs"].comparison.max_error_ulp[0] == 0.0
    assert not verify([0.0, 10.0], 0, grad_probs=[-math.inf, 0.0], dtype="float32").passed


@pytest.mark.parametrize("options", [{}, {"dtype": "float32"}, {"ulp": 4}])
def test_only_minus_infinity_passes_where_it_is_right(options):
    others = [720.0, 20000.0, 1e300]
    for other in [100.0, *others] if "dtype" in options else others:
        assert not verify([3.0, other], 0, grad_probs=[-math.inf, 0.0], **options).failed
        for claim in (0.0, 1e300, math.inf, math.nan):
            result = verify([3.0, other], 0, grad_probs=[claim, 0.0], **options)
            assert verdicts(result, "grad_probs")[0] == "fail", (other, claim)


@pytest.mark.parametrize("loss", [np.nan, 0.0])
def test_the_mean_of_no_rows_is_nan_or_0(loss):
    options = {"reduction": "mean", "ignore_index": -100}
    claims = {"loss": np.float32(loss), "grad_logits": np.zeros((2, 3), np.float32)}
    assert verify(np.ones((2, 3)), [-100, -100], **claims, **options).passed
    claims["loss"] = np.float32(0.1)
    assert not verify(np.ones((2, 3)), [-100, -100], **claims, **options).passed


def test_a_masked_target_has_an_infinite_loss():
    result = verify(
        [0.0, -math.inf], 1, loss=math.inf, grad_probs=[0, -math.inf], grad_logits=[1, -1]
    )
    assert result.passed
    for wrong in (0.5, 1e308, -math.inf, math.nan):
        assert not verify([0.0, -math.inf], 1, loss=wrong).passed
    assert not verify([0.0, -math.inf], 0, log_probs=[0.0, 123.0]).passed


def test_an_infinite_loss_of_a_batch_is_right_where_a_target_is_masked():
    options = {"reduction": "sum"}
    logits = [[0.0, -math.inf], [0.0, 0.0]]
    assert verify(logits, [1, 0], loss=math.inf, **options).passed
    assert not verify(logits, [1, 0], loss=1.0, **options).passed


def test_a_mask_that_leaves_only_the_target_has_zero_gradients():
    assert verify([0.0, -math.inf], 0, loss=0.0, grad_logits=[0, 0], probs=[1, 0]).passed


@pytest.mark.parametrize("claim", [math.nan, math.inf, -math.inf])
def test_a_claim_that_is_not_finite_fails(claim):
    result = verify(ROW, 0, grad_logits=[GRADIENT[0], claim, GRADIENT[2]])
    assert verdicts(result) == ["pass", "fail", "pass"]
    assert result.quantities["grad_logits"].comparison.max_error_ulp[0] == math.inf


def test_the_worst_class_is_one_that_failed():
    # The small number is off by more ulps, but within the absolute tolerance.
    claim = [-0.001, 2.2e-5]
    result = verify([0.0, -11.0], 0, grad_logits=claim, dtype="float32", like="assert_close")
    comparison = result.quantities["grad_logits"].comparison
    assert verdicts(result) == ["fail", "pass"]
    assert comparison.worst[0] == 0


def test_rows_are_judged_alone_and_summed_up_together():
    logits = np.tile(ROW, (5, 1))
    claims = np.tile(GRADIENT, (5, 1))
    claims[3, 1] *= 1.5
    result = verify(logits, [0] * 5, grad_logits=claims)
    assert result.failed == [3]
    assert not result.passed
    assert "grad_logits: 1 of 5 failed" in str(result)
    assert "at row 3, class 1: expected 0.2424, got 0.3636" in str(result)


def test_the_worst_place_is_one_that_failed():
    logits = [[0.0, 0.0, 0.0], [0.0, 0.0, 12.0]]
    small = [6.14417e-06, 6.144e-06, 0.99998771]
    options = {"like": "assert_close"}
    result = verify(logits, [0, 2], probs=[[1 / 3, 1 / 3, 0.3333336], small], **options)
    assert "row 0, class 2" in str(result)
    summary = verify(logits[:1], [0], probs=[[1 / 3, 1 / 3, 0.3333336]], **options).summary()
    later = verify(logits[1:], [2], probs=[small], **options)
    summary.add(later.quantities, lambda row: f"later {row}")
    assert "row 0, class 2" in "\n".join(summary.lines())


def test_a_row_gets_the_same_verdict_in_a_large_array():
    rng = np.random.default_rng(4)
    logits, targets = rng.normal(size=(20_000, 10)), rng.integers(10, size=20_000)
    claims = softmax_cross_entropy(logits, targets).grad_logits
    claims[[5, 7_000, 19_999]] *= 1.5
    together = verify(logits, targets, grad_logits=claims)
    assert together.failed == [5, 7_000, 19_999]
    comparison = together.quantities["grad_logits"].comparison
    for row in (0, 6_999, 19_999, 5):
        alone = verify(logits[row], targets[row], grad_logits=claims[row])
        same = alone.quantities["grad_logits"].comparison
        # The kernel's values decide the rows of a large array: they are good to 4 ulp of float64.
        assert comparison.max_error_ulp[row] == pytest.approx(
            same.max_error_ulp[0], rel=1e-9, abs=4
        )
    assert comparison.worst[5] == same.worst[0]
    fits = together.quantities["grad_logits"].fits_by_row
    assert {row: fits[row][0].mistake.name for row in fits} == dict.fromkeys(
        [5, 7_000, 19_999], "constant-factor"
    )


def test_threads_do_not_change_a_verdict():
    rng = np.random.default_rng(4)
    logits, targets = rng.normal(size=(20_000, 10)), rng.integers(10, size=20_000)
    claims = softmax_cross_entropy(logits, targets).grad_logits
    claims[[5, 7_000, 19_999]] *= 1.5
    objective = objective_of(targets, logits.shape)
    alone, together = (
        verify_rows(logits, objective, {"grad_logits": claims}, Tolerance(), threads=threads)
        for threads in (1, 3)
    )
    assert str(alone) == str(together)
    assert alone.failed == together.failed == [5, 7_000, 19_999]


@pytest.mark.parametrize(
    ("rows", "classes", "words"),
    [
        ([17], slice(None), "only row 17 of 64 is wrong"),
        ([3, 9], [5], "only rows 3 and 9 of 64 are wrong, in class 5"),
        (slice(None), slice(12, 20), "only classes 12 to 19 of 20 are wrong"),
        (slice(0, 64, 2), slice(None), "only 32 rows of 64 are wrong"),
    ],
)
def test_an_unknown_mistake_in_a_batch_is_confined_to_its_rows_and_classes(rows, classes, words):
    rng = np.random.default_rng(5)
    logits, targets = rng.normal(size=(64, 20)), rng.integers(20, size=64)
    claim = softmax_cross_entropy(logits, targets, reduction="mean").grad_logits.copy()
    wrong = claim * rng.uniform(1.5, 2.0, size=claim.shape)
    claim[rows] = np.where(np.isin(range(20), np.arange(20)[classes]), wrong, claim)[rows]
    text = str(verify(logits, targets, grad_logits=claim, reduction="mean"))
    assert f"unknown: no known mistake gives these numbers; {words}\n" in text


def test_a_failure_is_raised_with_the_summary():
    verify(ROW, 0, grad_logits=GRADIENT).raise_if_failed()
    wrong = [-value for value in GRADIENT]
    with pytest.raises(VerificationError) as caught:
        verify(ROW, 0, grad_logits=wrong).raise_if_failed()
    text = str(caught.value)
    assert isinstance(caught.value, AssertionError)
    assert "grad_logits: 1 of 1 failed" in text
    assert "wrong-sign: it equals -1 × (p - e)" in text
    assert "negate it" in text
    assert "1 failed (a claim passes where rounding in float64 explains its error)" in text


def test_a_verification_that_judged_nothing_has_not_passed():
    result = verify([40.0, 0.0], 0, loss=0.0, dtype="float32")
    with pytest.raises(VerificationError, match="loss: not passed: 1 of 1 number is so small"):
        result.raise_if_failed()


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({}, "expected a claim to verify: probs, log_probs, loss, z_loss, grad_probs, grad_logits"),
        ({"probs": [0.5, 0.5]}, r"expected probs of shape \(3,\), got \(2,\)"),
        ({"loss": [0.5]}, r"expected loss of shape \(\), got \(1,\)"),
        ({"probs": ["a", "b", "c"]}, "expected probs as an array of numbers, got <U1"),
        ({"probs": [True, False, True]}, "expected probs as an array of numbers, got bool"),
    ],
)
def test_claims_that_cannot_be_compared_are_refused(claims, message):
    with pytest.raises(ValueError, match=message):
        verify(ROW, 0, **claims)


def test_bad_targets_are_refused_as_elsewhere():
    with pytest.raises(InputError, match=r"target 3 is outside 0\.\.2"):
        verify(ROW, 3, loss=1.0)


def test_log_probs_agree_with_an_independent_computation():
    with mpmath.workprec(200):
        wanted = [float(mpmath.mpf(a) - mpmath.log(sum(map(mpmath.exp, ROW)))) for a in ROW]
    assert verify(ROW, 0, log_probs=wanted, ulp=0.5).passed


@pytest.mark.parametrize(
    "rows",
    [
        *sampled("random", lambda count: random_rows(count, seed=41), 900),
        *sampled("adversarial", lambda count: adversarial_rows(count, seed=42), 900),
    ],
)
def test_verification_raises_no_false_alarm_whatever_the_options(rows):
    for problem in problems((row for row in rows if len(row[0]) <= 50), seed=43):
        logits, target, options = problem
        # The two parts of a divergence cancel: its digits are those of the larger one.
        options.pop("kl_divergence", None)
        got = softmax_cross_entropy(logits, target, **options)
        claims = {name: getattr(got, name) for name in ("probs", "loss", "grad_probs")}
        result = verify(logits, target, **claims, ulp=8, **options)
        assert not result.failed, problem
        size = max(float(term) for term in problem.exact().terms)
        if math.isfinite(size):
            tolerance = {"rtol": 1e-14, "atol": 4e-15 * size}
            result = verify(logits, target, grad_logits=got.grad_logits, **tolerance, **options)
            assert not result.failed, problem


def test_the_same_claims_get_the_same_answer_in_any_order():
    rng = np.random.default_rng(6)
    a, y = rng.normal(size=(400, 300)).astype(np.float32), rng.integers(300, size=400)
    g = softmax_cross_entropy(a, y, reduction="mean").grad_logits
    claims = [1.25 * g, g * rng.uniform(1.2, 1.5, size=300).astype(np.float32), g]
    first = [str(verify(a, y, grad_logits=claim, reduction="mean")) for claim in claims]
    rng.random(), np.random.seed(1)  # noqa: NPY002 - softgrad has no random numbers of its own
    again = [str(verify(a, y, grad_logits=claim, reduction="mean")) for claim in claims[::-1]]
    assert again[::-1] == first


def test_the_answer_for_a_batch_counts_what_was_compared():
    a, y = np.random.default_rng(0).normal(size=(11, 50)), np.full(11, 3)
    y[:5] = -100
    options = {"ignore_index": -100, "reduction": "mean"}
    result = softmax_cross_entropy(a, y, **options)
    text = str(verify(a, y, loss=result.loss, grad_logits=result.grad_logits, **options))
    assert "loss: 1 of 1 passed (11 rows, 5 ignored), worst" in text
    assert "grad_logits: 1 of 1 passed (11 rows, 5 ignored; 550 numbers), worst" in text


def test_a_gradient_that_is_none_is_no_claim_that_was_left_out():
    for claims in ({"grad_logits": None}, {"grad_logits": None, "loss": 0.417}):
        with pytest.raises(ValueError, match=r"grad_logits .* got None; .* retain_grad"):
            verify([2.0, 1.0, 0.1], 0, **claims)
