"""Steps of the softmax and its derivatives, which every loss shares."""

from collections.abc import Callable
from dataclasses import replace

from softgrad_core.decimals import LARGEST, SMALLEST_NORMAL
from softgrad_core.derivation import formulas as f
from softgrad_core.derivation.evaluation import JACOBIAN_ENTRY, number
from softgrad_core.derivation.numbers import with_numbers
from softgrad_core.derivation.steps import Steps
from softgrad_core.derivation.symbols import A_C, A_J, EXP_C, F_C, F_I, TOTAL

Sides = tuple[f.Formula, f.Formula]


def add_softmax(steps: Steps) -> int:
    """Add the steps to the softmax, and return the number of its definition."""
    total = number(TOTAL, steps.point)
    if not SMALLEST_NORMAL <= total <= LARGEST:
        _subtract_largest(steps, "too large" if total > 1 else "too small")
    logits = with_numbers(steps.column(A_C), steps.point)
    steps.add(
        "The exponentials",
        "The exponential turns every pre-activation into a positive number; a larger "
        "pre-activation gives a larger number.",
        f.Exp(f.Logits()),
        steps.column(EXP_C),
        numbers=f.with_children(logits, f.Exp),
    )
    steps.add(
        "Their sum",
        "Divided by this sum, the exponentials add up to 1, as probabilities must.",
        TOTAL,
        steps.terms(TOTAL),
    )
    return steps.add(
        "The softmax",
        "The output {f(x)} is the softmax of {a}: the share of each exponential in the sum.",
        F_C,
        EXP_C / TOTAL,
    )


def _subtract_largest(steps: Steps, what: str) -> None:
    """Add the step that keeps the exponentials within float64, and take it."""
    steps.add(
        "Subtract the largest",
        f"The exponentials of these pre-activations add up to a number that is {what} for "
        "float64. Subtracting the same number from every pre-activation does not change the "
        "softmax: it divides numerator and denominator by the same exponential. Subtract the "
        "largest, {largest}. From here on {a} means {a - M}; the gradient is the same.",
        EXP_C / TOTAL,
        f.Exp(A_C - f.Largest()) / f.Sum("k", f.Exp(f.Logit("k") - f.Largest())),
        largest=f.equation(f.Largest(), with_numbers(f.Largest(), steps.point)),
    )
    largest = number(f.Largest(), steps.point)
    logits = [logit - largest for logit in steps.point.logits.values()]
    steps.point = replace(steps.point.with_logits(logits), shift=largest)


def add_derivative(
    steps: Steps, softmax: int, letter: str, sides: Callable[[f.Formula], Sides]
) -> int:
    """Add the steps to df(x)_i/da_c, the derivative of one output; return the last one's number.

    `softmax` is the number of the step that defines the softmax, and `letter` the one of class i.
    `sides` gives both sides of an equation, given the derivative: so this may be a factor in the
    derivative of a loss.
    """
    exp, same = f.Exp(f.Logit(letter)), f.Indicator(letter, "c")
    steps.add(
        "The softmax by its definition",
        f"Replace {{f(x)_{letter}}} by its definition, step {softmax} with {{c = {letter}}}.",
        *sides(f.Derivative(exp / TOTAL, A_C)),
    )
    quotient = steps.add(
        "The quotient rule",
        "For a quotient of {g} and {h}: {quotient rule}, where {g'} and {h'} are their "
        "derivatives with respect to {a_c}. Here {g is} and {h = sum}.",
        *sides(f.Derivative(exp, A_C) / TOTAL - (exp * f.Derivative(TOTAL, A_C)) / f.Square(TOTAL)),
        **{"g is": f.equation(f.Name("g"), exp)},
    )
    numerator = steps.add(
        "The derivative of the numerator",
        "The exponential is its own derivative. But {g} depends on {a_c} only if "
        f"{{c = {letter}}}; otherwise its derivative is 0. The indicator covers both cases.",
        f.Derivative(exp, A_C),
        same * exp,
    )
    denominator = steps.add(
        "The derivative of the denominator",
        "Only the term of {h} with {k = c} contains {a_c}. All others are constants, with "
        "derivative 0.",
        f.Derivative(TOTAL, A_C),
        EXP_C,
    )
    steps.add(
        "Substitute both derivatives",
        f"Put the results of steps {numerator} and {denominator} into the formula of step "
        f"{quotient}.",
        *sides((same * exp) / TOTAL - (exp * EXP_C) / f.Square(TOTAL)),
    )
    return _simplify(steps, softmax, letter, sides)


def _simplify(steps: Steps, softmax: int, letter: str, sides: Callable[[f.Formula], Sides]) -> int:
    """Add the steps that write the derivative of an output in terms of outputs."""
    output, same = f.Output(letter), f.Indicator(letter, "c")
    fraction, other = f.Exp(f.Logit(letter)) / TOTAL, EXP_C / TOTAL
    steps.add(
        "Split the fraction",
        "A square is a product of two equal factors, so the second fraction is a product of two "
        "fractions.",
        *sides(same * fraction - fraction * other),
    )
    steps.add(
        "Recognise the softmax",
        f"These fractions are outputs, by step {softmax}: {{one}} and {{other}}.",
        *sides(same * output - output * F_C),
        one=f.equation(fraction, output),
        other=f.equation(other, F_C),
    )
    return steps.add(
        "The common factor",
        f"Both terms have the factor {{f(x)_{letter}}}: write it once, before parentheses.",
        *sides(output * (same - F_C)),
    )


def add_jacobian(steps: Steps, found: int, letter: str) -> None:
    """Add the steps by which the whole Jacobian leads to the same gradient.

    `found` is the number of the step that has the derivative of the output of class `letter`.
    """
    steps.add(
        "The Jacobian",
        f"Step {found} also gave the derivative of {{f(x)_{letter}}}: {{derivative}}. The same "
        "formula holds for every output {i} and every pre-activation {j}. Together these "
        "derivatives form a matrix {J}, with {f(x)_i} in row {i} and {a_j} in column {j}.",
        f.Entries(f.Derivative(F_I, A_J)),
        f.Entries(JACOBIAN_ENTRY),
        derivative=f.Output(letter) * (f.Indicator(letter, "c") - F_C),
    )
    steps.add(
        "The chain rule for vectors",
        "Every {a_j} changes every {f(x)_i}, so the chain rule sums over all {i}: this is the "
        "product with the transposed Jacobian, which here is the Jacobian itself, as it is "
        "symmetric.",
        f.Gradient(f.Logits()),
        f.Jacobian(transposed=True) * f.Gradient(f.Outputs()),
    )
