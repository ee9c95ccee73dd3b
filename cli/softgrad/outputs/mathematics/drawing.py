"""Formulas -> a notation: which parts a formula has, and where it needs parentheses."""

from collections.abc import Sequence
from decimal import Decimal

from softgrad.outputs.mathematics.notation import TIMES, Notation, T
from softgrad_core.derivation import formulas as f

# How tightly a formula holds together. Where its place asks for more, it gets parentheses.
_EQUATION, _SUM, _PRODUCT, _ATOM = range(4)

UNDEFINED = "undefined"


def draw(formula: f.Formula, n: Notation[T]) -> T:
    """Return a formula in a notation."""
    match formula:
        case f.Equation(members):
            return _joined("=", [draw(member, n) for member in members], n)
        case f.Unequal(left, right):
            return _joined("≠", [draw(left, n), draw(right, n)], n)
        case f.Terms(_, terms):
            drawn = [n.text("⋯") if term is None else _held(term, _SUM, n) for term in terms]
            return _joined("+", drawn, n)
        case f.Addition(left, right):
            return _joined("+", [_held(left, _SUM, n), _held(right, _PRODUCT, n)], n)
        case f.Difference(left, right):
            return _joined("-", [_held(left, _SUM, n), _held(right, _PRODUCT, n)], n)
        case f.Product(left, right):
            sign = TIMES if n.stacked and f.has_quantities(formula) else "·"
            return _joined(sign, [_held(left, _PRODUCT, n), _held(right, _PRODUCT, n)], n)
        case f.Negative(of):
            return n.negative(_held(of, _PRODUCT, n))
        case _:
            return _draw_function(formula, n)


def draw_words(words: f.Words, notation: Notation[str]) -> str:
    """Return a text with its formulas drawn."""
    return "".join(word if isinstance(word, str) else draw(word, notation) for word in words)


def _draw_function(formula: f.Formula, n: Notation[T]) -> T:
    match formula:
        case f.Fraction(numerator, denominator) if n.stacked:
            return n.fraction(draw(numerator, n.in_fraction), draw(denominator, n.in_fraction))
        case f.Fraction(numerator, denominator):
            return n.fraction(_held(numerator, _PRODUCT, n), _held(denominator, _ATOM, n))
        case f.Square(of):
            return n.superscript(_held(of, _ATOM, n), "²")
        case f.Log(of):
            return n.row(n.word("log"), n.between(" "), _held(of, _ATOM, n))
        case f.Exp(of) | f.Tanh(of):
            word = "exp" if isinstance(formula, f.Exp) else "tanh"
            return _applied(n.word(word), draw(of, n), n)
        case f.Sum(index, term, without):
            k = n.letter(index)
            if without is not None:
                k = n.row(k, n.text("≠"), _draw_index(without, n))
            return n.sum(k, _held(term, _PRODUCT, n))
        case f.Derivative(of, by):
            return _draw_derivative(of, by, n)
        case f.Gradient(by):
            return _draw_quotient(n.in_fraction.word("d"), f.Loss(), by, n)
        case _:
            return _draw_quantity(formula, n)


def _draw_quantity(formula: f.Formula, n: Notation[T]) -> T:
    match formula:
        case f.Number(value, digits):
            return n.value(_draw_number(value, digits, n), formula, _EQUATION)
        case f.Logit(index, letter):
            return n.subscript(n.letter(letter or "a"), _draw_index(index, n))
        case f.Known(letter, index):
            return n.subscript(n.letter(letter), _draw_index(index, n))
        case f.Output(index):
            return n.subscript(draw(f.Outputs(), n), _draw_index(index, n))
        case f.Indicator(first, second):
            same = n.row(_draw_index(first, n), n.text("="), _draw_index(second, n))
            return n.subscript(n.number("1", ""), n.parentheses(same))
        case f.Entries(entry):
            return draw(entry, n)
        case f.Column(entries):
            return n.array([[_draw_entry(entry, "⋮", n.in_fraction)] for entry in entries])
        case f.Matrix(rows):
            return n.array([_draw_matrix_row(row, rows, n) for row in rows])
        case _:
            return _draw_symbol(formula, n)


def _draw_symbol(formula: f.Formula, n: Notation[T]) -> T:
    match formula:
        case f.Logits(letter):
            return n.letter(letter or "a")
        case f.Name(letter) | f.Constant(letter) | f.KnownVector(letter):
            return n.letter(letter)
        case f.Outputs():
            return _applied(n.letter("f"), n.letter("x"), n)
        case f.OneHot():
            return _applied(n.letter("e"), n.letter("y"), n)
        case f.Loss():
            return n.letter("L")
        case f.Largest():
            return n.letter("M")
        case f.Jacobian(transposed):
            return n.superscript(n.letter("J"), "ᵀ") if transposed else n.letter("J")
        case _:
            raise TypeError(f"no notation for {formula}")


def _draw_derivative(of: f.Formula, by: f.Formula, n: Notation[T]) -> T:
    inside = n.in_fraction
    d = inside.text("∂")
    if isinstance(of, f.Loss | f.Output | f.Exp | f.Name):
        return _draw_quotient(d, of, by, n)
    operator = n.fraction(d, inside.row(d, draw(by, inside)))
    return n.row(operator, n.between(" "), _held(of, _PRODUCT if n.stacked else _ATOM, n))


def _draw_quotient(d: T, of: f.Formula, by: f.Formula, n: Notation[T]) -> T:
    """Return a derivative as a fraction, such as dL/da."""
    inside = n.in_fraction
    return n.fraction(inside.row(d, draw(of, inside)), inside.row(d, draw(by, inside)))


def _draw_number(value: Decimal, digits: int, n: Notation[T]) -> T:
    if value.is_nan():
        return n.word(UNDEFINED)
    if value.is_infinite():
        size = n.text("∞")
    else:
        # abs() would round to the precision of the current decimal context.
        mantissa, _, exponent = as_written(value.copy_abs(), digits).partition("e")
        size = n.number(mantissa, exponent)
    return n.negative(size) if value < 0 else size


def as_written(value: Decimal, digits: int) -> str:
    """Return a number of any size with at most so many digits.

    Examples
    --------
    >>> as_written(Decimal("0.66666666"), 6), as_written(Decimal("1.5e-435"), 6)
    ('0.666667', '1.5e-435')
    """
    if not value:
        return "0"
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    if -5 < int(exponent) < digits:
        return f"{float(value):.{digits}g}"
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}e{int(exponent):+03d}"


def _draw_index(index: f.Index, n: Notation[T]) -> T:
    return n.letter(index) if isinstance(index, str) else n.number(str(index), "")


def _draw_entry(entry: f.Formula | None, gap: str, n: Notation[T]) -> T:
    return n.text(gap) if entry is None else draw(entry, n)


def _draw_matrix_row(
    row: f.Formula | None, rows: Sequence[f.Formula | None], n: Notation[T]
) -> list[T]:
    if isinstance(row, f.Column):
        return [_draw_entry(entry, "⋯", n) for entry in row.entries]
    # Rows are left out here: dots in each column, diagonal ones where columns are left out too.
    return [n.text("⋱" if other is None else "⋮") for other in rows]


def _joined(sign: str, parts: Sequence[T], n: Notation[T]) -> T:
    """Return parts with a sign between them."""
    signed = [piece for part in parts for piece in (n.between(sign), part)]
    return n.row(*signed[1:])


def _applied(function: T, argument: T, n: Notation[T]) -> T:
    return n.row(function, n.parentheses(argument))


def _held(formula: f.Formula, tightness: int, n: Notation[T]) -> T:
    """Return a formula, in parentheses if it holds together less tightly than this."""
    if isinstance(formula, f.Number):
        drawn = _draw_number(formula.value, formula.digits, n)
    else:
        drawn = draw(formula, n)
    held = drawn if _tightness(formula, n) >= tightness else n.parentheses(drawn)
    return n.value(held, formula, tightness) if isinstance(formula, f.Number) else held


def _tightness(formula: f.Formula, n: Notation[T]) -> int:
    match formula:
        case f.Equation() | f.Unequal():
            return _EQUATION
        case f.Negative() | f.Addition() | f.Difference() | f.Terms():
            return _SUM
        case f.Number(value, digits):
            has_power = n.writes_powers and value.is_finite() and "e" in as_written(value, digits)
            return _SUM if value < 0 else _PRODUCT if has_power else _ATOM
        case f.Fraction() if n.stacked:
            return _ATOM
        case f.Product() | f.Fraction() | f.Derivative() | f.Sum() | f.Log():
            return _PRODUCT
        case _:
            return _ATOM
