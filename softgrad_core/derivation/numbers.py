"""Formulas with numbers put in, each of which says what it is the value of."""

from decimal import Decimal

from softgrad_core.derivation import formulas as f
from softgrad_core.derivation.evaluation import LOGIT_DIGITS, Point, Value, evaluate, number
from softgrad_core.derivation.origins import entry_of, located


def with_numbers(formula: f.Formula, point: Point) -> f.Formula:
    """Return a formula with the value of each of its quantities in its place."""
    match formula:
        case f.Number() | f.Exp(f.Number()):
            return formula
        case f.Logit() | f.Largest():
            return f.Number(number(formula, point), LOGIT_DIGITS, located(formula, point))
        case f.Terms(whole, terms):
            return f.Terms(whole, tuple(term and with_numbers(term, point) for term in terms))
        case f.Compound():
            return f.with_children(formula, lambda child: with_numbers(child, point))
        case _:
            return written_out(evaluate(formula, point), formula, point)


def written_out(value: Value, of: f.Formula, point: Point) -> f.Formula:
    """Return the value of a formula, with a gap wherever the classes of the point have one."""
    if isinstance(value, Decimal):
        entry = of.entry if isinstance(of, f.Entries) else of
        return f.Number(value, of=located(entry, point))
    entries = iter(value)
    drawn = tuple(
        None if c is None else written_out(next(entries), entry_of(of, c, point), point)
        for c in point.classes
    )
    return f.Column(drawn) if value.ndim == 1 else f.Matrix(drawn)
