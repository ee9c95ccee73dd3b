"""A row has the same bits alone, in any block, and on any number of threads."""

from itertools import product

import numpy as np
import pytest
from support.oracle import exact, ulps
from support.sweeps import combined

from softgrad_core import InputError, softmax_cross_entropy
from softgrad_core.loss.kernels import direct

FIELDS = ("probs", "loss", "grad_probs", "grad_logits")

WIDTHS = (2, 3, 10, 31, 32, 33, 129, 1000, 4097, 140_000)


@pytest.fixture(autouse=True, params=["compiled", "without"])
def kernel(request, monkeypatch):
    """Run each test with the compiled kernel and without it."""
    if request.param == "without":
        monkeypatch.setattr(direct, "KERNELS", {})


def mixed_rows(classes, dtype, seed=0):
    """Return rows of usual size, and rows from which the maximum has to be subtracted."""
    rng = np.random.default_rng(seed)
    scales = np.array([1.0, 30.0, 300.0, 3.0, 0.01])[:, np.newaxis]
    shifts = np.array([0.0, 0.0, 0.0, -40.0, -300.0])[:, np.newaxis]
    logits = (rng.normal(size=(5, classes)) * scales + shifts).astype(dtype)
    logits[0, 1] = -np.inf
    targets = rng.integers(classes, size=5)
    targets[0] = 0
    return logits, targets


def assert_same_bits(part, whole, rows):
    for name in FIELDS:
        assert getattr(part, name).tobytes() == getattr(whole, name)[rows].tobytes(), name


@pytest.mark.parametrize(("classes", "dtype"), combined(WIDTHS, ("float64", "float32", "float16")))
def test_a_row_has_the_same_bits_alone_in_any_block_and_on_threads(classes, dtype):
    logits, targets = mixed_rows(classes, dtype)
    block = softmax_cross_entropy(logits, targets)
    many = softmax_cross_entropy(np.tile(logits, (3, 1)), np.tile(targets, 3), threads=3)
    for row in range(len(logits)):
        assert_same_bits(softmax_cross_entropy(logits[row], int(targets[row])), block, row)
    assert_same_bits(block, many, slice(10, 15))


OPTIONS = [
    {"label_smoothing": 0.1},
    {"z_loss_scale": 0.1, "temperature": 0.7},
    {"softcap": 5.0, "loss_scale": 3.0},
    {"label_smoothing": 0.3, "softcap": 5.0, "z_loss_scale": 0.1},
    {"label_smoothing": 0.1, "class_weights": 0.7},
    {"class_weights": 0.7},
    {"label_smoothing": 0.1, "num_classes": 2},
]


@pytest.mark.parametrize(("options", "dtype"), combined(OPTIONS, ("float64", "float32")))
def test_a_row_has_the_same_bits_alone_and_in_a_block_with_options(options, dtype):
    for classes in (2, 3, 31, 33, 1000):
        logits, targets = mixed_rows(classes, dtype)
        logits = np.concatenate([logits, np.log(np.full((1, classes), 1 / classes, dtype))])
        targets = np.append(targets, 1) % options.get("num_classes", classes)
        shares = np.eye(classes)[targets] * 0.5 + 0.5 / classes
        given = dict(options)
        if "class_weights" in options:
            given["class_weights"] = np.linspace(0.0, 2.0, classes)
        for wanted in [targets] if "num_classes" in options else [targets, shares]:
            block = softmax_cross_entropy(logits, wanted, **given)
            for row in range(len(logits)):
                alone = softmax_cross_entropy(logits[row], wanted[row], **given)
                assert_same_bits(alone, block, row)


@pytest.mark.parametrize(("classes", "dtype"), combined((2, 10, 32), ("float64", "float32")))
def test_thousands_of_rows_have_the_same_bits_as_a_few(classes, dtype):
    rng = np.random.default_rng(classes)
    logits = (rng.normal(size=(3_001, classes)) * 5).astype(dtype)
    targets = rng.integers(classes, size=len(logits))
    all_of_them = softmax_cross_entropy(logits, targets)
    for start in range(0, len(logits), 41):
        few = slice(start, start + 7)
        assert_same_bits(softmax_cross_entropy(logits[few], targets[few]), all_of_them, few)


@pytest.mark.parametrize("threads", [2, 5])
def test_any_number_of_threads_gives_the_same_bits(threads):
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(90_001, 10))
    targets = rng.integers(10, size=len(logits))
    one = softmax_cross_entropy(logits, targets, threads=1)
    several = softmax_cross_entropy(logits, targets, threads=threads)
    for name in FIELDS:
        assert getattr(several, name).tobytes() == getattr(one, name).tobytes()


def test_the_first_bad_row_is_the_one_reported_however_many_threads():
    logits = np.zeros((90_000, 10))
    logits[[81_000, 50_000], 3] = np.nan
    with pytest.raises(InputError, match=r"^row 50000: logits\[3\]: expected a finite number"):
        softmax_cross_entropy(logits, np.zeros(90_000, dtype=int), threads=3)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_results_in_narrow_types_are_rounded_once(dtype):
    for classes in (3, 40):
        logits, targets = mixed_rows(classes, dtype, seed=7)
        result = softmax_cross_entropy(logits, targets)
        for row, target in enumerate(targets.tolist()):
            wanted = exact(logits[row].astype(float).tolist(), target)
            with np.errstate(over="ignore"):
                rounded = np.array([float(p) for p in wanted.probs]).astype(dtype)
                loss = np.dtype(dtype).type(float(wanted.loss))
            np.testing.assert_array_equal(result.probs[row], rounded)
            assert result.loss[row] == loss


@pytest.mark.parametrize("classes", [3, 50])
def test_rows_far_from_zero_keep_their_digits(classes):
    rng = np.random.default_rng(97)
    shifts = (-339.0, -300.0, -100.0, -10.0, 100.0, 300.0, 339.9, 341.0, 700.0)
    for shift, spread in product(shifts, (0.1, 1.0, 20.0)):
        logits = (rng.normal(size=classes) * spread + shift).tolist()
        result, wanted = softmax_cross_entropy(logits, 0), exact(logits, 0)
        assert max(map(ulps, result.probs.tolist(), wanted.probs)) < 4
        assert ulps(float(result.loss), wanted.loss) < 4
        assert max(map(ulps, result.grad_probs.tolist(), wanted.grad_probs)) < 4
        assert max(map(ulps, result.grad_logits.tolist(), wanted.grad_logits)) < 4


def test_only_the_fields_that_are_asked_for_are_computed():
    result = softmax_cross_entropy([[2.0, 1.0], [0.0, 3.0]], [0, 1], fields=["loss", "grad_logits"])
    assert result.probs is None
    assert result.grad_probs is None
    whole = softmax_cross_entropy([[2.0, 1.0], [0.0, 3.0]], [0, 1])
    np.testing.assert_array_equal(result.loss, whole.loss)
    np.testing.assert_array_equal(result.grad_logits, whole.grad_logits)


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}])
@pytest.mark.parametrize("fields", [["probs"], ["loss"], ["grad_probs"], ["grad_logits"]])
def test_a_field_computed_alone_has_the_same_values(fields, options):
    logits, targets = mixed_rows(12, "float64")
    logits[0, 1] = 0.0
    alone = softmax_cross_entropy(logits, targets, fields=fields, **options)
    whole = softmax_cross_entropy(logits, targets, **options)
    np.testing.assert_array_equal(getattr(alone, fields[0]), getattr(whole, fields[0]))


def test_a_field_that_does_not_exist_is_named():
    with pytest.raises(InputError, match=r'expected fields out of probs, .*, got the text "prob"'):
        softmax_cross_entropy([1.0, 2.0], 0, fields=["prob"])


def test_out_is_overwritten():
    logits, targets = mixed_rows(40, "float32")
    earlier = softmax_cross_entropy(logits, targets)
    other = np.roll(logits, 1, axis=0), np.roll(targets, 1)
    wanted = softmax_cross_entropy(*other)
    again = softmax_cross_entropy(*other, out=earlier)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(again, name), getattr(wanted, name))
    assert again.probs.base is earlier.probs or again.probs.base is earlier.probs.base


def test_out_of_another_shape_or_type_is_refused():
    earlier = softmax_cross_entropy([[1.0, 2.0]], [0])
    with pytest.raises(InputError, match=r"expected out.probs of float64 and shape \(1, 3\), got"):
        softmax_cross_entropy([[1.0, 2.0, 3.0]], [0], out=earlier)
    narrow = softmax_cross_entropy([[1.0, 2.0]], [0], fields=["loss"])
    with pytest.raises(InputError, match="got none"):
        softmax_cross_entropy([[1.0, 2.0]], [0], out=narrow)
