"""The kernel's values decide rows as values of more digits do."""

import numpy as np
import pytest
from support.planted import DTYPES, rounder

from softgrad_core import InputError, softmax_cross_entropy, verify
from softgrad_core.loss.from_options import objective_of
from softgrad_core.verification import comparison, judging, passes
from softgrad_core.verification.judging import Claims
from softgrad_core.verification.tolerances import Tolerance

OPTIONS = ({}, {"ignore_index": 0}, {"label_smoothing": 0.1}, {"class_weights": [0.5, 1.5, 1.0]})


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_near_the_bound_get_the_verdict_of_more_digits(monkeypatch, dtype, options):
    monkeypatch.setattr(judging, "EXACT_ELEMENTS", 0)
    monkeypatch.setattr(judging, "MEASURED_ELEMENTS", 1)
    rng = np.random.default_rng(DTYPES.index(dtype))
    rows, round_ = 300, rounder(dtype)
    logits = rng.normal(size=(rows, 3)) * 10.0 ** rng.uniform(-2, 2, size=(rows, 1))
    # In half of the rows the logit that is farthest from 0 is not the largest.
    logits[::2, 2] -= 10.0 ** rng.uniform(0, 2, size=rows // 2)
    logits = round_(logits)
    targets = rng.integers(3, size=rows)
    right = softmax_cross_entropy(logits, targets, **options)
    tolerance = Tolerance(dtype)
    size = tolerance.dtype.epsilon * 10.0 ** rng.uniform(-1, 4, size=(rows, 1))

    def wrong(values):
        columns = values.reshape(rows, -1)
        return round_(columns * (1 + size * rng.normal(size=columns.shape)))

    given = {name: wrong(getattr(right, name)) for name in ("probs", "loss", "grad_logits")}
    claims = Claims(logits, objective_of(targets, logits.shape, **options), given, tolerance)
    judged = claims.judged()
    for name in given:
        exactly = claims.components(name, np.arange(rows)).summed_up(tolerance.dtype)
        differ = np.flatnonzero(judged[name].comparison.ranks != exactly.ranks)
        assert not differ.size, (name, logits[differ], given[name][differ])


@pytest.fixture(params=["compiled", "NumPy"])
def either_pass(request, monkeypatch):
    """Compare claims by the compiled passes, and by those in NumPy."""
    if request.param == "NumPy":
        monkeypatch.setattr(passes, "PASSES", {})
    elif not passes.PASSES:
        pytest.skip("there is no compiled kernel")


@pytest.mark.usefixtures("either_pass")
@pytest.mark.parametrize("classes", [2, 9, 300, 2500])
@pytest.mark.parametrize("dtype", DTYPES)
def test_wide_rows_with_a_few_numbers_near_the_bound_are_summed_up_alike(
    monkeypatch, dtype, classes
):
    monkeypatch.setattr(judging, "EXACT_ELEMENTS", 0)
    monkeypatch.setattr(judging, "MEASURED_ELEMENTS", 1 << 20)
    rng = np.random.default_rng([classes, DTYPES.index(dtype)])
    rows, round_ = 60, rounder(dtype)
    scale = 10.0 ** rng.uniform(-1, 0.7, size=(rows, 1))
    logits = round_(rng.normal(size=(rows, classes)) * scale)
    targets = rng.integers(classes, size=rows)
    right = softmax_cross_entropy(logits, targets)
    tolerance = Tolerance(dtype)
    # From a hundredth of the bound to a hundred times as much, in some of the numbers or in all.
    size = tolerance.dtype.epsilon * 10.0 ** rng.uniform(-2, 3, size=(rows, classes))
    size *= rng.random(size=size.shape) < rng.choice([0.002, 0.2, 1.0], size=(rows, 1))
    given = {
        name: round_(getattr(right, name) * (1.0 + size * rng.choice([-1.0, 1.0], size.shape)))
        for name in ("probs", "grad_logits")
    }
    given["grad_logits"][5] = np.nan
    claims = Claims(logits, objective_of(targets, logits.shape), given, tolerance)
    judged = claims.judged()
    for name in given:
        components = claims.components(name, np.arange(rows))
        exactly, got = components.summed_up(tolerance.dtype), judged[name].comparison
        for what in ("ranks", "shown", "uninformative", "assert_close"):
            differ = np.flatnonzero(getattr(got, what) != getattr(exactly, what))
            assert not differ.size, (name, what, differ)
        np.testing.assert_allclose(got.max_error_ulp, exactly.max_error_ulp, atol=4.1)
        at_worst = components.error_ulp[got.worst, np.arange(rows)]
        np.testing.assert_allclose(at_worst, exactly.max_error_ulp, atol=4.1)
        differ = judged[name].failed_columns != (components.ranks == judging.FAIL).any(axis=1)
        # In float64 the kernel's own last digits may decide what is nearest to the bound.
        assert np.count_nonzero(differ) <= (2 if dtype == "float64" else 0), name


@pytest.mark.usefixtures("either_pass")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_huge_number_among_usual_ones_is_compared(dtype):
    logits, options = (
        np.zeros((40, 3000), dtype),
        {"loss_scale": 8e307 if dtype == "float64" else 1e38},
    )
    targets = np.zeros(40, int)
    claim = softmax_cross_entropy(logits, targets, **options).grad_logits
    claim[7, 0] *= 1.5
    got = verify(logits, targets, grad_logits=claim, **options)
    assert got.quantities["grad_logits"].comparison.failed.nonzero()[0].tolist() == [7]


def _judged_and_exactly(logits, targets, claim, **options):
    """Return what becomes of a gradient, and what the values of more digits say of it."""
    objective = objective_of(targets, logits.shape, **options)
    claims = Claims(logits, objective, {"grad_logits": claim}, Tolerance(claim.dtype.name))
    components = claims.components("grad_logits", np.arange(len(logits)))
    return claims.judged()["grad_logits"], components


@pytest.mark.usefixtures("either_pass")
@pytest.mark.parametrize("others", [1.0, 2.0])
def test_a_claim_that_is_not_a_number_is_off_by_infinity(others):
    logits = np.linspace(0, 3, 24, dtype=np.float32).reshape(2, 12)
    claim = softmax_cross_entropy(logits, [3, 7]).grad_logits
    claim[1, 2] *= others
    claim[1, 5] = np.nan
    got = _judged_and_exactly(logits, [3, 7], claim)[0].comparison
    assert got.ranks.tolist() == [comparison.PASS, judging.FAIL]
    assert (got.worst[1], got.max_error_ulp[1], got.relative_error[1]) == (5, np.inf, np.inf)


@pytest.mark.usefixtures("either_pass")
def test_a_number_that_is_off_by_more_than_the_targets_is_the_worst():
    logits = np.array([[0.0, -30.0, -31.0]], np.float32)
    claim = softmax_cross_entropy(logits, [1]).grad_logits
    claim[0, 1] *= 1 + 40 * 2.0**-23  # Plainly wrong.
    claim[0, 2] *= 1 + 300 * 2.0**-23  # Wrong, but not plainly: its logarithm is large.
    judged, components = _judged_and_exactly(logits, [1], claim)
    exactly = components.summed_up(Tolerance("float32").dtype)
    assert judged.comparison.worst.tolist() == exactly.worst.tolist() == [2]


@pytest.mark.usefixtures("either_pass")
def test_a_row_gets_the_same_digits_alone_as_among_others():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(40, 300)).astype(np.float32)
    targets = rng.integers(300, size=40)
    # Of one number in three, and in other rows of few, rounding may explain the error or not.
    off = rng.uniform(20, 60, size=logits.shape)
    off *= rng.random(size=logits.shape) < np.where(np.arange(40) % 2, 0.9, 0.01)[:, np.newaxis]
    right = softmax_cross_entropy(logits, targets).probs.astype(np.float64)
    claim = (right * (1 + off * 2.0**-24)).astype(np.float32)
    together = verify(logits, targets, probs=claim).quantities["probs"].comparison
    for row in range(40):
        alone = verify(logits[[row]], targets[[row]], probs=claim[[row]])
        compared = alone.quantities["probs"].comparison
        assert compared.relative_error[0] == together.relative_error[row]
        assert compared.max_error_ulp[0] == together.max_error_ulp[row]


@pytest.mark.usefixtures("either_pass")
def test_a_number_out_of_range_is_in_no_column_that_failed():
    logits = np.array([[-0.6406, -0.2168, 0.2194]], np.float16)
    claim = np.array([[np.inf, np.inf, -np.inf]], np.float16)
    judged, components = _judged_and_exactly(logits, [2], claim, loss_scale=4e5)
    assert judged.comparison.ranks.tolist() == [comparison.UNINFORMATIVE]
    assert components.ranks.max() == comparison.UNINFORMATIVE
    assert not judged.failed_columns.any()


@pytest.mark.usefixtures("either_pass")
def test_a_row_without_a_softmax_is_named():
    logits = np.zeros((50, 2000), np.float32)
    for bad, code in ((np.nan, "logit-nan"), (-np.nan, "logit-nan"), (np.inf, "logit-infinite")):
        logits[37, 1500] = bad
        with pytest.raises(InputError) as caught:
            verify(logits, np.zeros(50, int), grad_logits=np.zeros_like(logits))
        assert (caught.value.code, caught.value.row) == (code, 37)


def test_assert_close_is_not_said_to_pass_a_finite_claim_of_an_infinite_loss():
    logits = np.array([[0.0, 1.0], [-np.inf, 1.0]], np.float32)
    claim = np.array([np.log1p(np.e), 3.0], np.float32)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(claim, [np.log1p(np.e), np.inf], rtol=1e-5)
    text = str(verify(logits, [0, 0], loss=claim))
    assert "1 of 2 failed" in text
    assert "assert_close" not in text
