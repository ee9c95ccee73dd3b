"""The derivation of the gradients of a record, step by step."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from softgrad.messages import printable
from softgrad.renderers.page import Block, Heading, NumberedStep, listed
from softgrad_core.derivation import Derivation, Evaluation
from softgrad_core.formulas import Name, Number, Unequal, Words, equation

TITLE = "The derivation"
HOW_TO_READ = (
    "A line of numbers has the value of the left side, the right side with numbers in it, and the "
    "value of the right side. Both are computed from the terms that they show, derivatives as "
    "differences, with more digits than are shown."
)


def steps_of(derivation: Derivation, names: Sequence[str] | None) -> Iterator[Block]:
    """Yield the steps of a derivation, part by part."""
    how_to_read = HOW_TO_READ
    classes = derivation.classes
    if None in classes:
        shown = listed([c for c in classes if c is not None])
        how_to_read += f" Vectors and matrices show the entries {shown}."
    yield Heading(TITLE, how_to_read, level=2)
    part = ""
    ends = {0, len(classes) - 1}
    special = {classes.index(c) for c in (derivation.target, derivation.other)}
    for number, step in enumerate(derivation.steps, 1):
        if step.part != part:
            part = step.part
            yield Heading(part, level=3)
        cases = [_case(evaluation, derivation, names) for evaluation in step.evaluations]
        yield NumberedStep(number, step, cases, classes, sorted(ends | special))


def _case(evaluation: Evaluation, derivation: Derivation, names: Sequence[str] | None) -> Words:
    """Return the class that an evaluation is for."""
    c = evaluation.index
    if c is None:
        return ()
    number = Number(Decimal(c), digits=len(str(c)))
    name = f" ({printable(names[c])})" if names else ""
    if c == derivation.target:
        return (equation(Name("c"), Name("y"), number), name)
    return (Unequal(Name("c"), Name("y")), ", for ", equation(Name("c"), number), name)
