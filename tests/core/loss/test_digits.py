"""Every number is within 4 ulp of itself with options too, also where its terms cancel."""

import math
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mpf

from softgrad_core import softmax_cross_entropy
from softgrad_core.loss.kernels import cancelling, direct, exact

LIMIT = 4.0
LIMIT_OF_DIVERGENCES = 5.0
"""For losses with Σ q log q in them, of which one in 100,000 was 4.14 ulp off."""
BITS = 256
ROWS = 50


def exact_row(a, t, options: dict[str, Any], bits: int = BITS):
    """Return the four results of a row by their definitions, with as many bits as it takes."""
    with mpmath.workprec(bits):
        count, temperature = len(a), mpf(options.get("temperature", 1.0))
        smoothing = mpf(options.get("label_smoothing", 0.0))
        weights = options.get("class_weights") or [1.0] * count
        by = mpf(options.get("denominator", 1.0))
        share = mpf(options.get("loss_scale", 1.0)) / by
        smooth = [(1 - smoothing) * mpf(one) + smoothing / count for one in t]
        q = [share * mpf(w) * one for w, one in zip(weights, smooth, strict=True)]
        z, slopes = [mpf(one) / temperature for one in a], [1 / temperature] * count
        if (cap := options.get("softcap")) is not None:
            e = [mpmath.exp(-2 * abs(mpf(one)) / cap) for one in a]
            slopes = [4 * one / (1 + one) ** 2 / temperature for one in e]
            z = [
                mpmath.sign(one) * cap * (1 - e_c) / (1 + e_c) / temperature
                for one, e_c in zip(a, e, strict=True)
            ]
        powers = [mpmath.exp(one) for one in z]
        total, s = mpmath.fsum(powers), mpmath.fsum(q)
        log_sum, zeta = mpmath.log(total), mpf(options.get("z_loss_scale", 0.0)) * share
        terms = [
            ((s + 2 * zeta * log_sum) * e, q_c * total) for e, q_c in zip(powers, q, strict=True)
        ]
        left = [abs(x - y) / max(abs(x), y) for x, y in terms if x or y]
        loss = mpmath.fsum(q_c * (log_sum - z_c) for q_c, z_c in zip(q, z, strict=True))
        size = loss
        if options.get("kl_divergence"):
            added = share * mpmath.fsum(one * mpmath.log(one) for one in smooth if one)
            loss += added
            left += [loss / size] if size else []
        if min([*left, abs(log_sum) if zeta else 1]) < mpf(2) ** (100 - bits) and bits < 10_000:
            return exact_row(a, t, options, 4 * bits)
        return {
            "probs": [e / total for e in powers],
            "loss": [loss + zeta * log_sum**2],
            "grad_probs": [
                -q_c * total / e if q_c else mpf(0) for e, q_c in zip(powers, q, strict=True)
            ],
            "grad_logits": [
                (x - y) / total * slope for (x, y), slope in zip(terms, slopes, strict=True)
            ],
        }


def random_options(rng) -> dict[str, Any]:
    """Return options of a block of rows, each in some of the blocks."""
    drawn = {
        "label_smoothing": rng.choice([0.1, 0.3, 1.0, 1e-10]),
        "temperature": 10.0 ** rng.uniform(-1, 1),
        "softcap": 10.0 ** rng.uniform(-0.5, 2),
        "z_loss_scale": 10.0 ** rng.uniform(-5, 1),
        "loss_scale": 10.0 ** rng.uniform(-2, 2),
        "denominator": 10.0 ** rng.uniform(-2, 2),
    }
    return {name: float(value) for name, value in drawn.items() if rng.random() < 0.35}


def random_block(rng, rows: int):
    """Return logits, target probabilities and options, many of which cancel."""
    classes = int(rng.choice([2, 3, 4, 9], p=[0.3, 0.35, 0.25, 0.1]))
    dtype = rng.choice(["float64", "float32"], p=[0.75, 0.25])
    scale = 10.0 ** rng.choice(
        [rng.uniform(-1, 1.2), rng.uniform(-12, -1), -9.0, -300.0, -40.0],
        p=[0.6, 0.3, 0.08, 0.005, 0.015],
    )
    kind = rng.choice(["labels", "near", "dirichlet", "ties"], p=[0.4, 0.3, 0.25, 0.05])
    # What takes thousands of bits takes long.
    rows = min(rows, 2) if kind == "ties" or scale < 1e-20 else rows
    options = random_options(rng)
    logits = (rng.normal(size=(rows, classes)) * scale).astype(dtype)
    if kind == "ties":
        logits[:] = logits[:, :1]
    z = logits.astype(np.float64)
    if "softcap" in options:
        z = options["softcap"] * np.tanh(z / options["softcap"])
    p = np.exp(z / options.get("temperature", 1.0))
    p /= p.sum(axis=1, keepdims=True)
    if kind == "near":
        targets = p * (1 + rng.normal(size=p.shape) * 10.0 ** rng.uniform(-13, -0.5))
        targets /= targets.sum(axis=1, keepdims=True)
    elif kind == "labels":
        targets = np.eye(classes)[rng.integers(classes, size=rows)]
    else:
        targets = rng.dirichlet(np.ones(classes), size=rows)
    if rng.random() < 0.3:
        options["class_weights"] = rng.uniform(0.1, 3.0, classes).tolist()
    elif rng.random() < 0.3:
        options["kl_divergence"] = True
    return logits, np.abs(targets), kind, options


def in_floats(numbers) -> tuple[np.ndarray, np.ndarray]:
    """Return exact numbers as float64 ones, and what is to be added to them."""
    heads = np.array(list(map(float, numbers)))
    is_finite = np.isfinite(heads)
    tails = [
        float(x - head) if ok else 0.0
        for x, head, ok in zip(numbers, heads.tolist(), is_finite, strict=True)
    ]
    return heads, np.array(tails)


def ulps(got: np.ndarray, numbers) -> float:
    """Return the largest distance in last places of the exact numbers, in the type of `got`."""
    heads, tails = in_floats(numbers)
    with np.errstate(all="ignore"):
        units = np.spacing(np.abs(heads.astype(got.dtype))).astype(np.float64)
        distances = np.abs((got.astype(np.float64) - heads) - tails) / units
    # Infinity is right where the exact number overflows, and nowhere else.
    return float(np.where(np.isnan(units), np.where(np.isinf(got), 0.0, np.inf), distances).max())


@pytest.fixture(params=["compiled", "none"])
def either_kernel(request, monkeypatch):
    """Compute with the compiled kernel, and without it."""
    if request.param == "none":
        monkeypatch.setattr(direct, "KERNELS", {})


def check_block(rng, rows: int, monkeypatch) -> int:
    """Check so many random rows, or fewer, and return how many they were."""
    logits, targets, kind, options = random_block(rng, rows)
    given = targets.argmax(axis=1) if kind == "labels" else targets
    wanted = [
        exact_row(*row, options) for row in zip(logits.tolist(), targets.tolist(), strict=True)
    ]
    flat = {name: [x for row in wanted for x in row[name]] for name in wanted[0]}
    for kernels in (direct.KERNELS, {}):
        with monkeypatch.context() as patch:
            patch.setattr(direct, "KERNELS", kernels)
            result = softmax_cross_entropy(logits, given, **options)
        for name, numbers in flat.items():
            values = getattr(result, name)
            if not values.ndim:
                # With a denominator there is one loss, the sum.
                with mpmath.workprec(BITS):
                    numbers = [mpmath.fsum(numbers)]  # noqa: PLW2901
            worst = ulps(values.reshape(-1), numbers)
            is_divergence = name == "loss" and options.get("kl_divergence")
            limit = LIMIT_OF_DIVERGENCES if is_divergence else LIMIT
            assert worst <= limit, (name, worst, bool(kernels), logits, targets, options)
    return len(logits)


@pytest.mark.parametrize("seed", range(4))
def test_every_number_is_within_four_ulp_of_itself(seed, monkeypatch):
    rng = np.random.default_rng([1, seed])
    for _ in range(60):
        check_block(rng, 1, monkeypatch)


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(20))
def test_every_number_of_a_hundred_thousand_rows_is_within_four_ulp_of_itself(seed, monkeypatch):
    rng = np.random.default_rng([2, seed])
    count = 0
    while count < 5_000:
        count += check_block(rng, ROWS, monkeypatch)


@pytest.mark.usefixtures("either_kernel")
def test_what_rounding_took_from_the_weight_of_a_z_loss_is_not_seen_beside_close_terms():
    logits = [6.267493282974475, 6.884610727336569]
    targets = [0.099295949378418, 0.900704050621582]
    options = {
        "temperature": 0.27923677042083594,
        "z_loss_scale": 8.034208854255438e-05,
        "loss_scale": 29.485273394341196,
    }
    got = softmax_cross_entropy(logits, targets, **options)
    wanted = exact_row(logits, targets, options)
    assert ulps(got.grad_logits, wanted["grad_logits"]) <= LIMIT


@pytest.mark.usefixtures("either_kernel")
@pytest.mark.parametrize("size", [1.0, 1e-9, 1e-40, 1e-300])
def test_a_smoothed_label_beside_almost_equal_logits_keeps_its_digits(size):
    logits = np.array([[3e-1, -1e-1, 2e-1]]) * size
    got = softmax_cross_entropy(logits, [0], label_smoothing=1.0)
    wanted = exact_row(logits[0].tolist(), [1.0, 0.0, 0.0], {"label_smoothing": 1.0})
    assert ulps(got.grad_logits[0], wanted["grad_logits"]) <= LIMIT


@pytest.mark.parametrize("classes", [2, 3, 10, 1000])
def test_targets_that_are_the_probabilities_leave_what_rounding_left_of_them(classes):
    logits = np.random.default_rng(classes).normal(size=(2, classes))
    targets = softmax_cross_entropy(logits, [0, 1]).probs
    got = softmax_cross_entropy(logits, targets)
    wanted = exact_row(logits[0].tolist(), targets[0].tolist(), {})
    assert ulps(got.grad_logits[0], wanted["grad_logits"]) <= LIMIT


@pytest.mark.parametrize(("classes", "scale"), [(2, 1e308), (3, 1.7e308), (2000, 1.7e308)])
def test_a_gradient_near_the_largest_float_does_not_overflow(classes, scale):
    got = softmax_cross_entropy([0.0] * classes, 0, loss_scale=scale)
    targets = [1.0] + [0.0] * (classes - 1)
    wanted = exact_row([0.0] * classes, targets, {"loss_scale": scale})
    assert ulps(got.grad_logits, wanted["grad_logits"]) <= LIMIT


@pytest.mark.parametrize("smoothing", [1e-30, 1e-300])
def test_a_divergence_shows_a_smoothing_that_is_far_below_the_digits_of_one(smoothing):
    logits, options = [5.2, -709.2, -707.5], {"label_smoothing": smoothing, "kl_divergence": True}
    got = softmax_cross_entropy(logits, 0, **options)
    wanted = exact_row(logits, [1.0, 0.0, 0.0], options, bits=4_000)
    assert ulps(np.array([got.loss]), wanted["loss"]) <= LIMIT_OF_DIVERGENCES


COUNT = 1_000
LABELS = np.arange(COUNT) % 10
ZEROS, UNIFORM = np.zeros((COUNT, 10)), np.full((COUNT, 10), 0.1)
MASKED = np.where(np.arange(10) < 7, ZEROS, -np.inf)
LOGITS = np.random.default_rng(3).normal(size=(COUNT, 10))
PROBS = softmax_cross_entropy(LOGITS, LABELS).probs
SMOOTHED: dict[str, Any] = {"label_smoothing": 1.0}

EQUAL_LOGITS = {
    "zeros": (ZEROS, LABELS, SMOOTHED),
    "float32": (ZEROS.astype(np.float32), LABELS, SMOOTHED),
    "smoothed a little": (ZEROS, LABELS, {"label_smoothing": 0.1}),
    "smoothed nearly all": (ZEROS, LABELS, {"label_smoothing": 1.0 - 2.0**-53}),
    "any logit": (np.repeat(LOGITS[:, :1], 10, axis=1), LABELS, SMOOTHED),
    "mean": (ZEROS, LABELS, {"loss_scale": 0.7, "denominator": 3.0, **SMOOTHED}),
    "uniform": (ZEROS, UNIFORM, {}),
    "uniform but masked": (MASKED, np.where(MASKED == 0.0, 1 / 7, 0.0), {}),
    "class weights": (ZEROS, LABELS, {"class_weights": [0.3] * 10, **SMOOTHED}),
    "no class weight": (ZEROS, LABELS, {"class_weights": [0.0] + [1.0] * 9, **SMOOTHED}),
    "three targets": (ZEROS, np.tile([0.2, 0.1, 0.1, 0.1, 0.0], (COUNT, 2)), {}),
    "as much as the mean": (
        np.zeros((COUNT, 4)),
        np.tile([0.5, 0.25, 0.0, 0.25], (COUNT, 1)),
        {},
    ),
}


def exact_gradient_of_equal_logits(logits, target, options: dict[str, Any]) -> list[Fraction]:
    """Return dL/da of a row whose logits are equal, or -infinity."""
    count, smoothing = len(logits), Fraction(options.get("label_smoothing", 0.0))
    t = np.eye(count)[target] if np.ndim(target) == 0 else target
    weights = options.get("class_weights", [1.0] * count)
    share = Fraction(options.get("loss_scale", 1.0)) / Fraction(options.get("denominator", 1.0))
    q = [
        share * Fraction(w) * ((1 - smoothing) * Fraction(one) + smoothing / count)
        for w, one in zip(weights, t.tolist(), strict=True)
    ]
    p = Fraction(1, int(np.isfinite(logits).sum()))
    return [
        sum(q) * (p if math.isfinite(logit) else 0) - q_c
        for logit, q_c in zip(logits, q, strict=True)
    ]


@pytest.fixture
def decimals(monkeypatch):
    """Return a list of the rows that have needed decimals."""
    rows, compute = [], exact.exact_row

    def counted(row, objective):
        rows.append(row)
        return compute(row, objective)

    for module in (exact, cancelling):
        monkeypatch.setattr(module, "exact_row", counted)
    return rows


@pytest.mark.usefixtures("either_kernel")
@pytest.mark.parametrize("kind", EQUAL_LOGITS)
def test_equal_logits_have_exact_gradients_without_decimals(kind, decimals):
    logits, targets, options = EQUAL_LOGITS[kind]
    got = softmax_cross_entropy(logits, targets, **options).grad_logits
    assert not decimals
    for row in range(10):
        wanted = exact_gradient_of_equal_logits(logits[row], targets[row], options)
        for value, number in zip(got[row].tolist(), wanted, strict=True):
            unit = np.spacing(np.abs(got.dtype.type(float(number))))
            assert abs(Fraction(value) - number) <= (LIMIT * Fraction(float(unit)) if number else 0)


ORDINARY = {
    "own probabilities": (LOGITS, PROBS, {}),
    "divergence from them": (LOGITS, PROBS, {"kl_divergence": True}),
    "two classes": (LOGITS[:, :2], softmax_cross_entropy(LOGITS[:, :2], LABELS % 2).probs, {}),
    "temperature": (
        LOGITS,
        softmax_cross_entropy(LOGITS / 2.0, LABELS).probs,
        {"temperature": 2.0, "kl_divergence": True},
    ),
    "logarithms of the targets": (np.log(PROBS), PROBS, {"kl_divergence": True}),
    "log-probabilities": (np.log(PROBS), LABELS, {"z_loss_scale": 1e-4}),
    "of float32": (np.log(PROBS).astype(np.float32), LABELS, {"z_loss_scale": 1e-4}),
    "whole numbers": (np.rint(LOGITS * 2), LABELS, {"z_loss_scale": 0.1, "label_smoothing": 1.0}),
    "large": (LOGITS * 300, LABELS, {"z_loss_scale": 0.1}),
}


@pytest.mark.usefixtures("either_kernel")
@pytest.mark.parametrize("kind", ORDINARY)
def test_ordinary_rows_need_no_decimals(kind, decimals):
    logits, targets, options = ORDINARY[kind]
    got = softmax_cross_entropy(logits, targets, **options)
    assert not decimals
    for row in range(4):
        t = targets[row] if targets.ndim > 1 else np.eye(10)[targets[row]]
        wanted = exact_row(logits[row].tolist(), t.tolist(), options)
        assert ulps(got.grad_logits[row], wanted["grad_logits"]) <= LIMIT
        assert ulps(got.loss[row : row + 1], wanted["loss"]) <= LIMIT_OF_DIVERGENCES


def test_a_divergence_counts_a_class_that_is_far_below_the_others():
    logits, target = [12.0, -1000.0], [0.235, 1.2e-8]
    options = {"kl_divergence": True, "unnormalized_target": True}
    got = softmax_cross_entropy(logits, target, **options)
    wanted = exact_row(logits, target, options, bits=4_000)
    assert ulps(np.array([got.loss]), wanted["loss"]) <= LIMIT_OF_DIVERGENCES


@pytest.mark.usefixtures("either_kernel")
def test_a_derivative_by_a_probability_far_below_the_others_is_no_nan():
    logits, options = [[188.0, -560.0, 100.0]] * 2, {"label_smoothing": 0.1, "loss_scale": 1e-20}
    got = softmax_cross_entropy(logits, [0, 0], **options)
    wanted = exact_row(logits[0], [1.0, 0.0, 0.0], options)
    assert ulps(got.grad_probs[0], wanted["grad_probs"]) <= LIMIT


def test_what_is_exactly_nothing_is_zero():
    got = softmax_cross_entropy([2.5, 2.5, 2.5, 2.5], [0.25] * 4, kl_divergence=True)
    assert not got.grad_logits.any()
    assert got.loss == 0.0


@pytest.mark.usefixtures("either_kernel")
@pytest.mark.parametrize(
    ("logits", "target", "options"),
    [
        ([1.0, 2.0, 3.0], 0, {"temperature": 1e-300, "class_weights": [1e300, 1.0, 1e-300]}),
        ([1.0, 2.0, 3.0], 0, {"temperature": 1e-300, "label_smoothing": 0.1}),
        ([1.0, 2.0, 3.0], 1, {"temperature": 1e-300, "z_loss_scale": 1e300}),
        ([1.0, 2.0, 3.0], 2, {"temperature": 1e300, "z_loss_scale": 1e-300}),
        ([1e308, -1e308], 1, {"temperature": 1e-300, "loss_scale": 1e-300}),
        ([1e3, -1e3, 0.0], 1, {"softcap": 1e-300, "temperature": 1e-300}),
        ([1e3, -1e3, 0.0], 1, {"softcap": 1e300, "temperature": 1e-300, "loss_scale": 1e300}),
        ([5e-324, 0.0], 0, {"temperature": 1e300, "label_smoothing": 1.0}),
    ],
)
def test_no_option_of_any_size_gives_nan(logits, target, options):
    got = softmax_cross_entropy(logits, target, **options)
    for name in got.fields:
        assert not np.isnan(getattr(got, name)).any(), name
    assert math.isfinite(got.probs.sum())
