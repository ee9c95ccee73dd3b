"""What a number in an equation is the value of, as a formula: so that it can be computed again.

Programs that move a logit evaluate these formulas anew, and the numbers of each step follow.
"""

from softgrad_core.derivation import formulas as f
from softgrad_core.derivation.evaluation import JACOBIAN_ENTRY, Point


def entry_of(vector: f.Formula, c: int, point: Point) -> f.Formula:
    """Return the entry of a vector, or the row of a matrix, that belongs to a class."""
    match vector:
        case f.Gradient(f.Logits(letter)):
            return f.Derivative(f.Loss(), f.Logit(c, letter))
        case f.Gradient():
            return f.Derivative(point.loss, f.Output(c))
        case f.Product(f.Jacobian(), f.Gradient()):
            slope = f.Derivative(point.loss, f.Output("i"))
            return f.Sum("i", f.with_class(JACOBIAN_ENTRY, "j", c) * slope)
        case f.Column(entries):
            return entries[list(point.classes).index(c)] or f.ONE
        case f.Jacobian():
            # It is symmetric: row and column may change places.
            return f.Entries(f.with_class(JACOBIAN_ENTRY, "i", c))
        case f.Entries(entry):
            letter = "i" if f.mentions(entry, "i") else "j"
            return f.Entries(f.with_class(entry, letter, c))
        case f.Negative() | f.Binary() | f.Exp():
            return f.with_children(vector, lambda part: entry_of(part, c, point))
        case _:
            return _entry_of_symbol(vector, c)


def _entry_of_symbol(vector: f.Formula, c: int) -> f.Formula:
    match vector:
        case f.KnownVector():
            return vector.entry(c)
        case f.Logits(letter):
            return f.Logit(c, letter)
        case f.Outputs():
            return f.Output(c)
        case f.OneHot():
            return f.Indicator("y", c)
        case _:
            return vector


def located(formula: f.Formula, point: Point) -> f.Formula:
    """Return a formula that says which logits and which loss it means at this point.

    Where the largest logit was subtracted, its logits are differences; and from the step of the
    z-loss on, the loss is the whole one.
    """
    match formula:
        case f.Loss():
            return f.Loss(is_whole=bool(point.penalty))
        case f.Logit(_, letter) if letter != "a" and point.shift:
            return formula - f.Largest()
        case f.Derivative(of, by):
            return f.Derivative(located(of, point), by)
        case f.Known() | f.Constant():
            return formula
        case _:
            return f.with_children(formula, lambda part: located(part, point))
