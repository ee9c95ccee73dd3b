"""The derivation: every equation holds, its numbers are exact, and float64's traps are noted."""

import math
from decimal import Decimal, localcontext

import mpmath
import numpy as np
import pytest
from support.objectives import problems
from support.oracle import exact, ulps
from support.rows import adversarial_rows, random_rows, sampled

from softgrad_core import InputError, explain, softmax_cross_entropy
from softgrad_core.derivation.evaluation import Point, context_of, evaluate
from softgrad_core.derivation.formulas import Derivative, Exp, Log, Logit, Number, Output, Sum

LECTURE = [
    "The exponentials",
    "Their sum",
    "The softmax",
    "The loss",
    "One output",
    "All outputs",
    "The chain rule",
    "The softmax by its definition",
    "The quotient rule",
    "The derivative of the numerator",
    "The derivative of the denominator",
    "Substitute both derivatives",
    "Split the fraction",
    "Recognise the softmax",
    "The common factor",
    "The cancellation",
    "The vector",
    "The Jacobian",
    "The chain rule for vectors",
]

EXTREME = [
    ([1e300, -1e300], 1),
    ([1e300, -1e300], 0),
    ([1.7e308, -1.7e308, 1.0], 1),
    ([1000.0, 0.0], 1),
    ([1000.0, 0.0], 0),
    ([40.0, 0.0], 0),
    ([710.0, 709.0, 0.0], 1),
    ([-800.0, -801.0], 0),
    ([-math.inf, 1.0, 2.0], 2),
    ([-math.inf, 1.0, 2.0], 0),
    ([0.0, 5e-324, -5e-324], 1),
    ([0.0, 0.0], 1),
]


def titles(derivation):
    return [step.title for step in derivation.steps]


def step_of(derivation, title):
    return derivation.steps[titles(derivation).index(title)]


def said(words):
    return "".join(part for part in words if isinstance(part, str))


def notes_of(derivation):
    return [
        said(note)
        for step in derivation.steps
        for evaluation in step.evaluations
        for note in evaluation.notes
    ]


def test_a_label_has_the_steps_of_the_lecture():
    assert titles(explain([2.0, 1.0, 0.1], 0)) == LECTURE


@pytest.mark.parametrize(
    "rows",
    [
        *sampled("random", lambda count: random_rows(count, seed=41, max_classes=6), 120),
        *sampled("adversarial", lambda count: adversarial_rows(count, seed=42), 120),
        pytest.param(EXTREME, id="extreme"),
    ],
)
def test_both_sides_of_every_equation_are_equal_but_for_rounding(rows):
    for logits, target in rows:
        for step in explain(logits, target).steps:
            for evaluation in step.evaluations:
                sides = [np.ravel(side) for side in (evaluation.left, evaluation.right)]
                for left, right in zip(*sides, strict=True):
                    if math.isnan(left):
                        assert len(evaluation.numbers.members) == 2
                        continue
                    is_close = left == right or abs(left - right) <= 2 * math.ulp(right)
                    assert is_close, f"{step.title}: {logits}, {target}"


@pytest.mark.parametrize(
    "rows", sampled("random", lambda count: random_rows(count, seed=43, max_classes=8), 75)
)
def test_the_numbers_are_exact(rows):
    for logits, target in rows:
        assert_numbers_are_exact(explain(logits, target), exact(logits, target))


def assert_numbers_are_exact(derivation, oracle):
    [*_, loss] = [step for step in derivation.steps if step.title.startswith("The loss")]
    assert ulps(loss.evaluations[0].left, oracle.loss) <= 1
    for evaluation in step_of(derivation, "The softmax").evaluations:
        assert ulps(evaluation.right, oracle.probs[evaluation.index]) <= 1
    for evaluation in step_of(derivation, "The cancellation").evaluations:
        assert ulps(evaluation.right, oracle.grad_logits[evaluation.index]) <= 1
    for got, expected in zip(
        step_of(derivation, "The vector").evaluations[0].right, oracle.grad_logits, strict=True
    ):
        assert ulps(got, expected) <= 1


def test_the_derivation_ends_with_the_computed_gradients():
    logits = [2.0, 1.0, 0.1]
    derivation, result = explain(logits, 0), softmax_cross_entropy(logits, 0)
    for title, numbers in (
        ("All outputs", result.grad_probs),
        ("The vector", result.grad_logits),
        ("The chain rule for vectors", result.grad_logits),
    ):
        for side in ("left", "right"):
            got = getattr(step_of(derivation, title).evaluations[0], side)
            np.testing.assert_allclose(got, numbers, rtol=1e-15, atol=0)


def test_a_derivative_is_evaluated_by_differences_and_not_by_a_rule():
    total = Sum("k", Exp(Logit("k")))
    with localcontext(context_of(80)), mpmath.workdps(80):
        point = Point.at([Decimal(2), Decimal(1), Decimal("0.1")], {"y": 0, "c": 1}, (0, 1, 2))

        def by_mpmath(function):
            return mpmath.diff(function, 1)

        others = mpmath.exp(2) + mpmath.exp(mpmath.mpf("0.1"))
        for formula, function in (
            (Log(total), lambda a: mpmath.log(others + mpmath.exp(a))),
            (Exp(Logit("y")) / total, lambda a: mpmath.exp(2) / (others + mpmath.exp(a))),
            (Exp(Logit("c")) * Log(Output("c")), lambda a: mpmath.exp(a) * mpmath.log(
                mpmath.exp(a) / (others + mpmath.exp(a)))),
        ):  # fmt: skip
            got = evaluate(Derivative(formula, Logit("c")), point)
            expected = by_mpmath(function)
            assert abs(mpmath.mpf(str(got)) - expected) < abs(expected) * mpmath.mpf(10) ** -30


def test_the_other_class_is_the_most_probable_one_by_default():
    logits = [0.5, 3.0, 1.0, 2.0]
    assert explain(logits, 1).cases[1] == 3
    assert explain(logits, 0).cases[1] == 1
    assert explain(logits, 1, other=2).cases[1] == 2
    assert explain(logits, 1, other=1).cases[1] == 3
    assert explain([-math.inf, 0.0], 1).cases[1] == 0
    cases = step_of(explain(logits, 1, other=2), "The cancellation").evaluations
    assert [case.index for case in cases] == [1, 2]


def test_a_thousand_classes_shorten_the_vectors_but_not_the_steps():
    logits = np.random.default_rng(3).normal(size=1000)
    derivation = explain(logits, 417)
    assert titles(derivation) == LECTURE
    assert {0, 1, 2, 417, derivation.cases[1], 999} == {*derivation.classes} - {None}
    assert derivation.classes[3] is None
    vector = step_of(derivation, "The vector").evaluations[0]
    assert len(vector.left) == 6
    result = softmax_cross_entropy(logits, 417)
    shown = [c for c in derivation.classes if c is not None]
    np.testing.assert_allclose(vector.right, result.grad_logits[shown], rtol=1e-14)


def test_ten_classes_are_shown_in_full():
    assert explain(range(10), 3).classes == tuple(range(10))
    assert None in explain(range(11), 3).classes


@pytest.mark.parametrize(
    ("logits", "what"), [([1000.0, 0.0], "too large"), ([-800.0, -801.0], "too small")]
)
def test_the_largest_logit_is_subtracted_where_float64_cannot_hold_the_exponentials(logits, what):
    derivation = explain(logits, 0)
    assert titles(derivation)[0] == "Subtract the largest"
    assert what in derivation.steps[0].rule[0]
    assert derivation.steps[1].evaluations[0].right[0] == 1.0
    assert "Subtract the largest" not in titles(explain([700.0, 0.0], 0))


def test_the_loss_is_taken_by_logarithms_where_the_output_underflows():
    derivation = explain([1000.0, 0.0], 1)
    step = step_of(derivation, "The loss by logarithms")
    assert step.evaluations[0].right == 1000.0
    notes = notes_of(derivation)
    assert any("smaller than any float64, which has 0 in its place" in note for note in notes)
    assert any("range of float64, which has infinity in its place" in note for note in notes)
    assert len(notes) == len({*notes})


def test_a_confident_row_sums_the_other_classes_and_notes_hidden_digits():
    derivation = explain([40.0, 0.0], 0)
    rest = step_of(derivation, "What is left for the other classes").evaluations[0]
    assert rest.right == pytest.approx(4.248354255291589e-18, rel=1e-15)
    assert "The loss by the other classes" in titles(derivation)
    [note] = step_of(derivation, "The cancellation").evaluations[0].notes
    assert "looks the same, rounded to the digits shown" in note[0]
    assert any("is 1 only in the digits shown" in note for note in notes_of(derivation))


def test_a_masked_target_has_no_derivative_and_the_rule_says_so():
    derivation = explain([-math.inf, 1.0, 2.0], 0)
    assert "the class is masked" in said(step_of(derivation, "The loss").rule)
    assert "The loss by logarithms" not in titles(derivation)
    assert step_of(derivation, "The chain rule").evaluations == ()
    result = step_of(derivation, "The vector").evaluations[0]
    assert result.right[0] == -1.0
    assert len(result.numbers.members) == 2


@pytest.mark.parametrize("row", [([1000.0, 0.0], 0), ([1000.0, 0.0], 1), ([3.0, 0.0, 1100.0], 0)])
def test_numbers_beyond_float64_are_measured_too(row):
    derivation = explain(*row)
    for step in derivation.steps[1:]:
        for evaluation in step.evaluations:
            first, *_, last = evaluation.numbers.members
            if isinstance(first, Number):
                assert abs(first.value - last.value) <= abs(last.value) * Decimal("1e-15")
    jacobian = step_of(derivation, "The Jacobian").evaluations[0].numbers.members[-1]
    product = step_of(derivation, "The chain rule for vectors").evaluations[0].numbers.members[-2]
    rows = [[entry.value for entry in row.entries] for row in jacobian.rows]
    transposed = [[entry.value for entry in row.entries] for row in product.left.rows]
    assert [list(row) for row in zip(*rows, strict=True)] == transposed
    assert all(value for row in rows for value in row)


def test_a_side_too_small_to_measure_is_noted():
    derivation = explain([5000.0, 0.0], 1)
    vector = step_of(derivation, "The derivative of the denominator").evaluations[0]
    assert vector.notes == (("the left side is too small to be measured",),)


def test_input_that_cannot_be_explained_is_refused_with_a_reason():
    with pytest.raises(InputError, match="expected one row of logits to explain, got 2"):
        explain([[1.0, 2.0], [3.0, 4.0]], 0)
    with pytest.raises(InputError, match=r"target 2 is outside 0\.\.1"):
        explain([1.0, 2.0], 2)
    with pytest.raises(InputError, match=r"class 5 is outside 0\.\.1"):
        explain([1.0, 2.0], 0, other=5)


def test_what_is_nothing_but_the_error_of_measuring_counts_as_0():
    logits = [-4.636931801022265e-90, -1.8972013395721693e-89, 1.1836838024522475e-89]
    options = {"temperature": 12.643878645847215, "label_smoothing": 1.0}
    derivation = explain(logits, [1.0, 0.0, 0.0], **options)
    [chain_rule] = [step for step in derivation.steps if step.title == "The chain rule"]
    for evaluation in chain_rule.evaluations:
        assert 0 < abs(evaluation.right) < 1e-40
        assert evaluation.left == 0.0
        assert ("the left side is too small to be measured",) in evaluation.notes


@pytest.mark.parametrize(
    "rows",
    [
        *sampled("random", lambda count: random_rows(count, seed=51), 60),
        *sampled("adversarial", lambda count: adversarial_rows(count, seed=52), 72),
    ],
)
def test_both_sides_of_every_equation_are_equal_whatever_the_options(rows):
    seen = 0
    for problem in problems((row for row in rows if len(row[0]) <= 30), seed=53):
        logits, target, options = problem
        if abs(math.log10(options.get("temperature", 1.0))) > 5:
            continue
        for step in explain(logits, target, **options).steps:
            for evaluation in step.evaluations:
                left, right = np.atleast_1d(evaluation.left), np.atleast_1d(evaluation.right)
                known = np.isfinite(left) & (left != 0.0)
                seen += np.count_nonzero(known)
                np.testing.assert_allclose(
                    left[known], right[known], rtol=5e-16, err_msg=f"{step.title}: {problem}"
                )
    assert seen > 200


def test_the_steps_of_a_soft_cap_and_a_z_loss_end_in_the_gradient_and_name_the_whole_loss():
    options = {"softcap": 3.0, "z_loss_scale": 0.1, "temperature": 2.0, "loss_scale": 4.0}
    result = softmax_cross_entropy([2.0, 1.0, 0.1], 0, **options)
    derivation = explain([2.0, 1.0, 0.1], 0, **options)
    titles = [step.title for step in derivation.steps]
    for title in ("The soft cap", "The logarithm of the sum", "The chain rule for the soft cap"):
        assert title in titles
    [whole] = step_of(derivation, "The whole loss").evaluations
    assert whole.left == whole.right == pytest.approx(float(result.loss), rel=1e-15)
    [last] = derivation.steps[-1].evaluations
    np.testing.assert_allclose(last.right, result.grad_logits, rtol=1e-14)
    plain = explain([2.0, 1.0, 0.1], 0)
    assert titles[-1] != plain.steps[-1].title


def numbers_in(formula):
    """Yield the numbers in a formula that say what they are the value of."""
    if isinstance(formula, Number):
        yield from [formula] if formula.of is not None else []
        return
    for name in formula.__dataclass_fields__:
        value = getattr(formula, name)
        for part in value if isinstance(value, tuple) else (value,):
            if hasattr(part, "__dataclass_fields__"):
                yield from numbers_in(part)


@pytest.mark.parametrize("count", [3, 12])
def test_each_number_is_the_value_of_the_formula_that_it_names(count):
    logits = np.linspace(2.0, -1.0, count)
    derivation = explain(logits, 1)
    compared = 0
    with localcontext(context_of(80)):
        point = Point.at(list(map(Decimal, logits.tolist())), {"y": 1}, derivation.classes)
        for evaluation in (one for step in derivation.steps for one in step.evaluations):
            there = point.bound(c=1 if evaluation.index is None else evaluation.index)
            for shown in numbers_in(evaluation.numbers):
                again = evaluate(shown.of, there)
                assert abs(again - shown.value) <= Decimal("1e-30") * abs(shown.value)
                compared += 1
    assert compared > 190
