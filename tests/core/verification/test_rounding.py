"""Rounding passes, and nothing else: gradients of real kernels, and kernels rounded by hand."""

import numpy as np
import pytest
from support.oracle import exact
from support.planted import rounder
from support.recorded import RUNS
from support.sweeps import combined, in_sweeps

from softgrad_core import verify
from softgrad_core.dtypes import Dtype

IN_FLOAT32 = ("upcast", "liger")
"""The kernels that compute in float32 whatever the type of the logits."""


def off_target(targets, shape):
    is_off = np.ones(shape, dtype=bool)
    counted = np.flatnonzero(targets >= 0)
    is_off[counted, targets[counted]] = False
    return is_off


@pytest.mark.parametrize("shape", RUNS)
def test_a_real_kernel_is_right_and_remarked_if_it_keeps_a_log_softmax_in_its_type(shape):
    for name, dtype, kernel, logits, targets, loss, gradient, options in RUNS[shape]:
        right = verify(logits, targets, grad_logits=gradient, dtype=dtype, **options)
        right.raise_if_failed()
        said = " ".join(line for line in right.summary().lines() if "within rounding" in line)
        # Compiled PyTorch keeps it with few classes only.
        may_be_said = kernel in {"eager", "inductor"}
        assert not said or (may_be_said and "log-softmax-in-low-precision" in said), name
        assert said or dtype == "float32" or "eager sum" not in name
        result = verify(logits, targets, loss=loss, dtype=dtype, **options)
        # In float16 eager PyTorch's sum for the smoothing overflows: that is no rounding.
        assert result.passed is np.isfinite(loss).item(), name
        if kernel in IN_FLOAT32:
            verify(
                logits, targets, grad_logits=gradient, dtype=dtype, arithmetic="float32", **options
            ).raise_if_failed()


def planted(dtype, kernel, targets, gradient, options):
    """Yield gradients with a mistake, and the arithmetic that they are judged by."""
    is_off = off_target(targets, gradient.shape)
    size = 1e-4 if dtype is Dtype.FLOAT32 else 0.1
    if dtype is Dtype.BFLOAT16 and not {"softcap", "z_loss_scale"}.isdisjoint(options):
        size = 0.25  # Rounding a logit, or a log-sum-exp, near 30 to bfloat16 moves p by 6 %.
    yield np.where(is_off, gradient * (1 + size), gradient), None
    yield np.where(is_off, gradient * 1.25, gradient), None
    row = int(np.flatnonzero(targets >= 0)[-1])
    moved = gradient.copy()
    moved[row] = np.roll(gradient[row], 1)
    yield moved, None
    halved = gradient * (np.abs(gradient) >= np.median(np.abs(gradient), axis=1, keepdims=True))
    yield halved, None
    if dtype is Dtype.FLOAT32:
        one_row = gradient.copy()
        one_row[row] *= np.where(is_off[row], 1 + size, 1.0)
        yield one_row, None
    if kernel in IN_FLOAT32:
        yield np.where(is_off, gradient * 1.01, gradient), "float32"


@pytest.mark.parametrize("is_diagnosed", [False, *in_sweeps([True])])
@pytest.mark.parametrize("shape", RUNS)
def test_a_mistake_in_a_real_kernel_s_gradient_fails(shape, is_diagnosed, monkeypatch):
    if not is_diagnosed:
        # The search for a name takes nine tenths of the time, and the verdict is there before. Two
        # mistakes in each run will do.
        monkeypatch.setattr("softgrad_core.verification.verify.diagnose", lambda *_: [])
    for number, run in enumerate(RUNS[shape]):
        name, dtype, kernel, logits, targets, _, gradient, options = run
        mistakes = list(planted(dtype, kernel, targets, gradient, options))
        one = number % len(mistakes)
        for wrong, arithmetic in mistakes if is_diagnosed else [mistakes[one], mistakes[one - 1]]:
            claim = dtype.round(wrong)
            result = verify(
                logits, targets, grad_logits=claim, dtype=dtype, arithmetic=arithmetic, **options
            )
            assert result.failed == [0], name


def rounded_kernel(logits, targets, dtype, *, subtracts_normaliser):
    """Return what a kernel gives that rounds to a type after every operation, but in sums."""
    f = dtype.round
    top = logits.max(axis=1, keepdims=True)
    if subtracts_normaliser:
        log_sum = f(np.log(f(np.exp(f(logits - top)).sum(axis=1, keepdims=True))))
        log_probs = f(logits - f(top + log_sum))
    else:
        d = f(logits - top)
        log_probs = f(d - f(np.log(f(f(np.exp(d)).sum(axis=1, keepdims=True)))))
    probs = f(np.exp(log_probs))
    rows = np.arange(len(logits))
    one_hot = np.zeros_like(probs)
    one_hot[rows, targets] = 1.0
    at_target = probs[rows, targets, np.newaxis]
    return {
        "probs": probs,
        "log_probs": log_probs,
        "loss": -log_probs[rows, targets],
        "grad_probs": f(np.divide(-one_hot, at_target)),
        "grad_logits": f(probs - one_hot),
    }


@pytest.mark.parametrize(
    ("classes", "dtype", "scale"),
    combined((2, 10, 1000, 32_000), (Dtype.FLOAT32, Dtype.BFLOAT16, Dtype.FLOAT16), (0.1, 3.0)),
)
def test_rounding_after_every_operation_is_no_mistake(dtype, classes, scale):
    rng = np.random.default_rng(classes)
    rows = max(4, 400 // classes)
    logits = dtype.round(rng.normal(scale=scale, size=(rows, classes)))
    targets = rng.integers(classes, size=rows)
    ways = (False, True) if dtype is Dtype.FLOAT32 else (False,)
    for subtracts_normaliser in ways:
        claims = rounded_kernel(logits, targets, dtype, subtracts_normaliser=subtracts_normaliser)
        with np.errstate(all="ignore"):
            result = verify(logits, targets, dtype=dtype, **claims)
        assert not result.failed, result


@pytest.mark.parametrize("dtype", [Dtype.FLOAT64, Dtype.FLOAT32, Dtype.BFLOAT16])
@pytest.mark.parametrize("quantity", ["probs", "log_probs", "loss", "grad_probs", "grad_logits"])
def test_an_error_of_some_dozens_of_roundings_fails_however_small_the_number(dtype, quantity):
    logits, target = [0.0, 1.0, -6.0], 1
    right = np.atleast_1d(np.array(getattr(exact(logits, target), quantity), dtype=np.float64))
    for place in np.flatnonzero(right):
        claim = right.copy()
        claim[place] *= 1 + 100 * dtype.epsilon
        wrong = claim[0] if quantity == "loss" else claim
        assert verify(logits, target, **{quantity: wrong}, dtype=dtype).failed == [0]


def test_a_wide_claim_of_a_mean_fails_whatever_assert_close_says():
    rng = np.random.default_rng(1)
    logits = rng.normal(scale=0.5, size=(256, 1000)).astype(np.float32)
    targets = rng.integers(1000, size=256)
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    p[np.arange(256), targets] -= 1
    gradient = (p / 256).astype(np.float32)
    assert verify(logits, targets, grad_logits=gradient, reduction="mean").passed
    wrong = np.where(off_target(targets, p.shape), gradient * 1.25, gradient).astype(np.float32)
    options = {"reduction": "mean", "grad_logits": wrong}
    result = verify(logits, targets, **options)
    assert result.failed == [0]
    assert "torch.testing.assert_close, with its defaults, passes these" in str(result)
    assert not verify(logits, targets, like="assert_close", **options).failed


def test_a_gradient_that_was_only_wiped_out_is_called_zero_before_it_is_called_rounded():
    result = verify([0.2, 0.1, 0.3], 0, grad_logits=np.zeros(3), label_smoothing=0.99)
    assert result.quantities["grad_logits"].mistakes(0)[0] == "all-zero"


def test_the_answer_says_which_arithmetic_the_errors_look_like():
    [run] = [run for run in RUNS["8x1000-bfloat16"] if run[0].endswith(" upcast sum")]
    _, dtype, _, logits, targets, _, gradient, options = run
    looks = "rounded once from a wider type: --arithmetic float32 asks for that"
    assert looks in str(verify(logits, targets, grad_logits=gradient, dtype=dtype, **options))
    sharper = verify(
        logits, targets, grad_logits=gradient, dtype=dtype, arithmetic="float32", **options
    )
    assert "rounded once" not in str(sharper)
    [run] = [run for run in RUNS["8x1000-bfloat16"] if run[0].endswith(" eager sum")]
    _, dtype, _, logits, targets, _, gradient, options = run
    kept = str(verify(logits, targets, grad_logits=gradient, dtype=dtype, **options))
    assert "rounded once" not in kept


def test_a_kernel_may_set_all_subnormal_results_to_0_but_not_some():
    logits = [0.0, -15.0, -12.0]
    right = Dtype.FLOAT16.round(np.array(exact(logits, 0).probs, dtype=np.float64))
    flushed = np.where(right < Dtype.FLOAT16.smallest_normal, 0.0, right)
    assert flushed.tolist() == [1.0, 0.0, 0.0]
    assert not verify(logits, 0, probs=flushed, dtype="float16").failed
    assert verify(logits, 0, probs=[1.0, right[1], 0.0], dtype="float16").failed


def test_a_gradient_that_the_type_cannot_show_has_not_passed_and_the_answer_says_what_to_do():
    logits = np.zeros((1, 1000))
    logits[0, 0] = 20.0
    gradient = Dtype.FLOAT16.round(np.array([exact(logits[0], 0).grad_logits], dtype=float))
    result = verify(logits, [0], grad_logits=gradient, dtype="float16")
    assert not result.failed
    assert not result.passed
    assert "are so small or so large that rounding in float16 may explain" in str(result)
    assert "a loss scale" in str(result)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arithmetic": "bfloat16"}, "expected the arithmetic of float32 claims to be float32 or"),
        ({"arithmetic": "float64", "ulp": 1}, "expected either arithmetic, or a tolerance"),
        ({"like": "allclose"}, "expected like to be one of assert_close, got 'allclose'"),
        ({"like": "assert_close", "atol": 0}, "expected either like, or a tolerance of your own"),
    ],
)
def test_standards_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        verify([1.0, 2.0], 0, loss=0.5, dtype="float32", **options)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("classes", [100, 1000, *in_sweeps([32_000])])
def test_errors_of_one_sign_in_one_row_fail(classes, dtype):
    rng = np.random.default_rng(classes)
    logits = (rng.normal(size=(8, classes)) * 0.3).astype(np.float32)
    targets = rng.integers(classes, size=8)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    claim = p - np.eye(classes, dtype=np.float32)[targets]
    given = {"dtype": dtype, "reduction": "sum"}
    assert not verify(logits, targets, grad_logits=rounder(dtype)(claim), **given).failed
    others = np.arange(classes) != targets[3]
    claim[3, others] *= 1.1
    wrong = verify(logits, targets, grad_logits=rounder(dtype)(claim), **given)
    assert wrong.failed
    assert "at row 3, class" in str(wrong)
