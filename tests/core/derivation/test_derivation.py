"""The derivation: every equality holds, its numbers are right, and float64's traps are told."""

import math
from decimal import Decimal, localcontext

import mpmath
import numpy as np
import pytest
from support.oracle import exact, ulps
from support.rows import adversarial_rows, random_rows

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
    "Both put in",
    "The fraction split in two",
    "The softmax recognised",
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


def test_the_steps_are_those_of_the_lecture():
    assert titles(explain([2.0, 1.0, 0.1], 0)) == LECTURE


@pytest.mark.parametrize(
    "row",
    [*random_rows(60, seed=41, max_classes=6), *adversarial_rows(60, seed=42), *EXTREME],
    ids=lambda row: f"{row[1]} of {row[0]!r:.40}",
)
def test_both_sides_of_every_equality_are_the_same_but_for_rounding(row):
    logits, target = row
    for step in explain(logits, target).steps:
        for evaluation in step.evaluations:
            sides = [np.ravel(side) for side in (evaluation.left, evaluation.right)]
            for left, right in zip(*sides, strict=True):
                if math.isnan(left):
                    assert len(evaluation.numbers.members) == 2
                    continue
                assert left == right or abs(left - right) <= 2 * math.ulp(right), step.title


@pytest.mark.parametrize("row", [*random_rows(40, seed=43, max_classes=8)], ids=str)
def test_the_numbers_are_the_exact_ones(row):
    logits, target = row
    derivation = explain(logits, target)
    oracle = exact(logits, target)
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


def test_the_derivation_ends_in_the_numbers_of_the_tables():
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


def test_a_derivative_is_evaluated_as_a_limit_and_not_by_a_rule():
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


def test_the_other_class_is_the_most_probable_one_unless_it_is_chosen():
    logits = [0.5, 3.0, 1.0, 2.0]
    assert explain(logits, 1).cases[1] == 3
    assert explain(logits, 0).cases[1] == 1
    assert explain(logits, 1, other=2).cases[1] == 2
    assert explain(logits, 1, other=1).cases[1] == 3
    assert explain([-math.inf, 0.0], 1).cases[1] == 0
    cases = step_of(explain(logits, 1, other=2), "The cancellation").evaluations
    assert [case.index for case in cases] == [1, 2]


def test_at_a_thousand_classes_the_vectors_are_elided_and_the_steps_are_not():
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


def test_ten_classes_are_written_out_in_full():
    assert explain(range(10), 3).classes == tuple(range(10))
    assert None in explain(range(11), 3).classes


@pytest.mark.parametrize(
    ("logits", "what"), [([1000.0, 0.0], "too large"), ([-800.0, -801.0], "too small")]
)
def test_where_float64_cannot_hold_the_exponentials_the_largest_is_subtracted(logits, what):
    derivation = explain(logits, 0)
    assert titles(derivation)[0] == "Subtract the largest"
    assert what in derivation.steps[0].rule[0]
    assert derivation.steps[1].evaluations[0].right[0] == 1.0
    assert "Subtract the largest" not in titles(explain([700.0, 0.0], 0))


def test_where_the_output_underflows_the_loss_is_taken_by_logarithms():
    derivation = explain([1000.0, 0.0], 1)
    step = step_of(derivation, "The loss by logarithms")
    assert step.evaluations[0].right == 1000.0
    notes = notes_of(derivation)
    assert any("smaller than any float64, which has 0 in its place" in note for note in notes)
    assert any("range of float64, which has infinity in its place" in note for note in notes)
    assert len(notes) == len({*notes})


def test_where_the_network_is_sure_the_rest_is_summed_and_hidden_digits_are_told():
    derivation = explain([40.0, 0.0], 0)
    rest = step_of(derivation, "What is left for the other classes").evaluations[0]
    assert rest.right == pytest.approx(4.248354255291589e-18, rel=1e-15)
    assert "The loss by the other classes" in titles(derivation)
    [note] = step_of(derivation, "The cancellation").evaluations[0].notes
    assert "looks the same, rounded to the digits shown" in note[0]
    assert any("is 1 only in the digits shown" in note for note in notes_of(derivation))


def test_a_masked_target_has_no_derivative_and_that_is_said():
    derivation = explain([-math.inf, 1.0, 2.0], 0)
    assert "the class is masked" in said(step_of(derivation, "The loss").rule)
    assert "The loss by logarithms" not in titles(derivation)
    assert step_of(derivation, "The chain rule").evaluations == ()
    result = step_of(derivation, "The vector").evaluations[0]
    assert result.right[0] == -1.0
    assert len(result.numbers.members) == 2


@pytest.mark.parametrize("row", [([1000.0, 0.0], 0), ([1000.0, 0.0], 1), ([3.0, 0.0, 1100.0], 0)])
def test_what_float64_cannot_hold_is_measured_all_the_same(row):
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


def test_what_is_too_small_to_be_measured_is_said_to_be_so():
    derivation = explain([5000.0, 0.0], 1)
    vector = step_of(derivation, "The derivative of the denominator").evaluations[0]
    assert vector.notes == (("the left side is too small to be measured",),)


def test_what_cannot_be_explained_says_why():
    with pytest.raises(InputError, match="expected one row of logits to explain, got 2"):
        explain([[1.0, 2.0], [3.0, 4.0]], 0)
    with pytest.raises(InputError, match=r"target 2 is outside 0\.\.1"):
        explain([1.0, 2.0], 2)
    with pytest.raises(InputError, match=r"class 5 is outside 0\.\.1"):
        explain([1.0, 2.0], 0, other=5)
