"""Bad input raises InputError, which says what was expected, what was given, and where."""

import math
from itertools import product

import numpy as np
import pytest

from softgrad_core import InputError, check_gradients, softmax_cross_entropy
from softgrad_core.loss.targets import check_class_names, class_index

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("logits", "target", "code", "message"),
    [
        ([], 0, "logits-empty", "expected at least 2 logits, got none"),
        ([1.0], 0, "logits-one-class", "the softmax of one class is always 1"),
        ([1.0, NAN], 0, "logit-nan", r"^logits\[1\]: expected a finite number .* got NaN$"),
        ([INF, 0.0], 0, "logit-infinite", r"^logits\[0\]: .* got \+Infinity$"),
        ([-INF, -INF], 0, "logits-all-masked", "with every class masked there is no softmax"),
        ([[1.0, 2.0], [NAN, 0.0]], [0, 0], "logit-nan", r"^row 1: logits\[0\]"),
        ([[1.0, 2.0], [-INF, -INF]], [0, 0], "logits-all-masked", r"^row 1: all logits"),
        ([[1.0, 2.0], [3.0]], [0, 0], "logits-ragged", "rows of several lengths"),
        ([True, False], 0, "logit-not-a-number", "got a boolean among them"),
        ([True, 0.5], 0, "logit-not-a-number", "got a boolean among them"),
        (np.array([True, False]), 0, "logit-not-a-number", "got bool"),
        (np.ma.array([1.0, 2.0], mask=[0, 1]), 0, "logits-shape", "one with a mask"),
        (["1.0", "2.0"], 0, "logit-not-a-number", "got <U3"),
        (np.ones(2, np.longdouble), 0, "logit-not-a-number", "at most float64, got float128"),
        ([[[1.0, 2.0]]], 0, "targets-shape", r"of shape \(1, 1\), or \(1, 1, 2\) .* got \(\)"),
        ([1.0, 2.0], 2, "target-out-of-range", "^target 2 is outside 0..1; classes are numbered"),
        ([1.0, 2.0], -1, "target-out-of-range", "^target -1 is outside 0..1; .* ignore_index -1"),
        ([[1.0, 2.0]] * 2, [0, 9], "target-out-of-range", "^row 1: target 9 is outside 0..1"),
        ([[1.0, 2.0]] * 2, [[0], [1, 2]], "targets-shape", "got ragged lists"),
        ([1.0, 2.0], 1.0, "target-not-an-index", "got an array of float64"),
        ([1.0, 2.0], True, "target-not-an-index", "got an array of bool"),
        ([1.0, 2.0], "1", "target-not-an-index", "got an array of <U1"),
        (
            [[1.0, 2.0]] * 2,
            [0],
            "targets-shape",
            r"expected targets of shape \(2,\), got \(1,\)",
        ),
    ],
)
def test_bad_input_is_refused_with_its_place(logits, target, code, message):
    with pytest.raises(InputError, match=message) as caught:
        softmax_cross_entropy(logits, target)
    assert caught.value.code == code
    with pytest.raises(InputError, match=message):
        check_gradients(logits, target, [0.0, 0.0], [0.0, 0.0])


def test_ragged_labels_beside_an_ignored_one_are_refused_as_elsewhere():
    with pytest.raises(InputError, match="got ragged lists"):
        softmax_cross_entropy([[1.0, 2.0]] * 2, [0, [1]], ignore_index=0)


def test_input_errors_are_value_errors():
    with pytest.raises(ValueError, match="outside"):
        softmax_cross_entropy([0.0, 0.0], 5)


def test_a_bad_distribution_is_found_behind_one_whose_sum_is_nearly_1():
    # NumPy's sum of the first row exceeds 1.00001; its exact sum does not.
    rng = np.random.default_rng(0)
    while True:
        target = rng.dirichlet(np.ones(8)) * 1.00001
        if abs(target.sum() - 1.0) > 1e-5 >= abs(math.fsum(target) - 1.0):
            break
    with pytest.raises(InputError, match=r"target\[1\]: expected a probability"):
        softmax_cross_entropy(np.zeros((2, 8)), [target, [4.0, -3.0, *[0.0] * 6]])


def test_fields_may_be_one_name():
    result = softmax_cross_entropy([1.0, 2.0], 0, fields="grad_probs")
    assert result.probs is None
    assert result.grad_probs is not None


def test_no_rows_give_no_results():
    result = softmax_cross_entropy(np.empty((0, 3)), np.empty(0, dtype=int))
    assert result.probs.shape == (0, 3)
    assert result.loss.shape == (0,)


def test_logits_may_be_integers():
    assert softmax_cross_entropy([1, 2], 0).probs.dtype == np.float64


def test_targets_of_every_integer_type_are_accepted():
    for kind, size in product("iu", (1, 2, 4, 8)):
        result = softmax_cross_entropy([[0.0, 1.0]], np.array([1], dtype=f"{kind}{size}"))
        assert result.loss.shape == (1,)


@pytest.mark.parametrize(
    ("target", "names", "message"),
    [
        ("brid", ["cat", "dog", "bird"], 'none of the 3 class names; did you mean "bird"'),
        ("dog", None, "is a name, but no class names are given"),
        ("1", None, "is text; write the index as a number"),
        (1.0, None, "got 1.0; write 1"),
        (1.5, None, "got 1.5"),
        (True, None, "got true"),
        (None, None, "got null"),
        ([0, 1], None, "got a list"),
        ({}, None, "got an object"),
    ],
)
def test_a_target_that_is_no_class_is_refused_with_a_reason(target, names, message):
    with pytest.raises(InputError, match=message):
        class_index(target, 3, names)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b"], "one class name for each of 3 logits, got 2"),
        (["a", "b", "a"], '"a" is given more than once'),
        (["a", "b", 3], "class names as text, got 3"),
    ],
)
def test_class_names_must_be_distinct_texts_one_for_each_class(names, message):
    with pytest.raises(InputError, match=message):
        check_class_names(names, 3)
