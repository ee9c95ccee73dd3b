"""Formulas in every notation: how they look, and where they need parentheses."""

from decimal import Decimal

import pytest
from softgrad.outputs.mathematics.drawing import draw
from softgrad.outputs.mathematics.fitting import fitted
from softgrad.outputs.mathematics.latex import Latex
from softgrad.outputs.mathematics.line import Line
from softgrad.outputs.mathematics.mathml import MathML
from softgrad.outputs.mathematics.screen import Blocks

from softgrad_core.derivation.formulas import (
    Column,
    Derivative,
    Exp,
    Gradient,
    Indicator,
    Log,
    Logit,
    Logits,
    Matrix,
    Name,
    Number,
    Output,
    Square,
    Sum,
    equation,
)

F_Y, F_C = Output("y"), Output("c")
TOTAL = Sum("k", Exp(Logit("k")))


def number(text):
    return Number(Decimal(text))


@pytest.mark.parametrize(
    ("formula", "line", "latex"),
    [
        (F_Y, "f(x)_y", "f(x)_{y}"),
        (Indicator("y", "c"), "1_(y=c)", "1_{(y=c)}"),
        (-(Indicator("y", "c") - F_C), "-(1_(y=c) - f(x)_c)", "-(1_{(y=c)} - f(x)_{c})"),
        (-Log(F_Y), "-log f(x)_y", r"-\log f(x)_{y}"),
        (Log(TOTAL), "log (Σ_k exp(a_k))", None),
        (Exp(Logit("c")) / TOTAL, "exp(a_c)/(Σ_k exp(a_k))", None),
        (Sum("k", F_Y, without="y"), "Σ_(k≠y) f(x)_y", r"\sum_{k \neq y} f(x)_{y}"),
        (Derivative(F_Y, Logit("c")), "∂f(x)_y/∂a_c", None),
        (Derivative(-Log(F_Y), F_C), "∂/∂f(x)_c (-log f(x)_y)", None),
        (Gradient(Logits()), "dL/da", r"\frac{\mathrm{d}L}{\mathrm{d}a}"),
        (Square(TOTAL), "(Σ_k exp(a_k))²", None),
        (Log(number("5e-435")), "log 5e-435", r"\log (5 \times 10^{-435})"),
        (Square(number("2e9")), "2e+09²", r"(2 \times 10^{9})^{2}"),
        (Name("g'") / Name("h"), "g'/h", r"\frac{g'}{h}"),
        (number("-2") * number("-3"), "(-2) · (-3)", r"(-2) \cdot (-3)"),
        (number("1") - number("-3"), "1 - (-3)", "1 - (-3)"),
        (number("1.23456789e-5"), "1.23457e-05", r"1.23457 \times 10^{-5}"),
        (number("1e-435"), "1e-435", "10^{-435}"),
        (number("-2.123456789e+53000000"), "-2.12346e+53000000", r"-2.12346 \times 10^{53000000}"),
        (number("-Infinity"), "-∞", r"-\infty"),
        (number("NaN"), "undefined", r"\mathrm{undefined}"),
        (number("-0.0"), "0", "0"),
        (equation(F_C, number("0.5")), "f(x)_c = 0.5", "f(x)_{c} = 0.5"),
        (Column((number("1"), None, number("0"))), "[1, …, 0]", None),
        (Matrix((Column((F_C, None)), None)), "[[f(x)_c, …], […, …]]", None),
    ],
    ids=str,
)
def test_a_formula_in_a_line_and_in_latex(formula, line, latex):
    assert draw(formula, Line()) == line
    if latex is not None:
        assert " ".join(draw(formula, Latex()).split()) == " ".join(latex.split())


def test_the_parts_of_a_formula_on_a_screen_are_level():
    formula = equation(
        Derivative(F_Y, Logit("c")),
        -((Number(Decimal(1)) / F_Y) * (Exp(Logit("y")) / TOTAL - F_C)),
    )
    assert draw(formula, Blocks(has_signs=True)).lines == (
        "∂f(x)_y       1    ⎛  exp(a_y)           ⎞",
        "─────── = - ────── ⎜──────────── - f(x)_c⎟",
        "  ∂a_c      f(x)_y ⎝Σ_k exp(a_k)         ⎠",
    )
    ascii_block = draw(formula, Blocks(has_signs=False))
    assert "".join(ascii_block.lines).isascii()
    assert len({len(line) for line in ascii_block.lines}) == 1


def test_a_vector_on_a_screen_is_a_column():
    vector = Column((number("1"), None, number("-0.25")))
    assert draw(vector, Blocks(has_signs=True)).lines == ("⎡    1⎤", "⎢    ⋮⎥", "⎣-0.25⎦")


def test_mathml_is_well_formed_and_has_true_minus_signs():
    from xml.etree import ElementTree as ET

    text = draw(equation(-(F_Y / TOTAL), number("-2.5e-9")), MathML())
    tree = ET.fromstring(text)  # noqa: S314 - our own text
    assert {"mfrac", "msub", "munder", "msup"} <= {element.tag for element in tree.iter()}
    assert "-" not in "".join(tree.itertext())


def matrix(size):
    """Return an equation with a matrix of so many classes."""
    one = number("0.125")
    return equation(Name("J"), Matrix((Column((one,) * size),) * size))


@pytest.mark.parametrize(("width", "places"), [(80, None), (40, [0, 1, 2, 7]), (10, [0, 7])])
def test_a_matrix_that_is_too_wide_loses_its_last_classes_but_not_the_important(width, places):
    lines, kept = fitted(matrix(8), Blocks(has_signs=True), width, important=[0, 7])
    assert kept == places
    assert len(lines) == 1
