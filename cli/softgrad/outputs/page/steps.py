"""The derivation of the gradients of a record, step by step."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from softgrad.messages import printable
from softgrad.outputs.page import Block, Heading, NumberedStep, Prose, listed
from softgrad_core.derivation.explain import Derivation
from softgrad_core.derivation.formulas import KnownVector, Name, Number, Unequal, Words, equation
from softgrad_core.derivation.steps import Evaluation
from softgrad_core.derivation.symbols import words

TITLE = "The derivation"
SYMBOLS = words(
    "{a} are the pre-activations (logits) of the output layer for an input {x}, one for each "
    "class; classes are numbered from 0. {y} is the true class, {c} is any class, and {k} runs "
    "over all. {f(x)} is the output and {L} the loss; logarithms are natural ones.",
    x=Name("x"),
)
SYMBOLS_OF_WEIGHTS = words(
    "{a} are the pre-activations (logits) of the output layer for an input {x}, one for each "
    "class; classes are numbered from 0. {q} are the weights that the target gives to the classes. "
    "{c}, {i} and {k} are classes. {f(x)} is the output and {L} the loss; logarithms are natural "
    "ones.",
    x=Name("x"),
    q=KnownVector("q", ()),
)
TRUE_CLASS = words(" {y} is the true class.")
HOW_TO_READ = (
    "Under each formula stand its numbers: the value of the left side = the right side with "
    "numbers in it = its value. The values of both sides are computed independently; where they "
    "agree, the step is right. A derivative on the left is measured: the variable is moved a "
    "little up and a little down, and the change of the function is divided by that of the "
    "variable. Six digits are shown and more are computed, so a pocket calculator may differ in "
    "the last."
)


def steps_of(
    derivation: Derivation, names: Sequence[str] | None, *, of: str, is_plain: bool
) -> Iterator[Block]:
    """Yield the steps of a derivation, part by part; `of` says which row of a batch it is of."""
    how_to_read = HOW_TO_READ
    classes = derivation.classes
    if None in classes:
        shown = listed([c for c in classes if c is not None])
        how_to_read += f" Vectors and matrices show the entries {shown}."
    yield Heading(f"{TITLE}{of}", level=2)
    symbols = SYMBOLS
    if not is_plain:
        symbols = SYMBOLS_OF_WEIGHTS + (() if derivation.target is None else TRUE_CLASS)
    yield Prose(symbols)
    yield Prose((how_to_read,))
    part = ""
    important = [classes.index(c) for c in derivation.cases]
    for number, step in enumerate(derivation.steps, 1):
        if step.part != part:
            part = step.part
            yield Heading(part, level=3)
        cases = [_case(evaluation, derivation, names) for evaluation in step.evaluations]
        yield NumberedStep(number, step, cases, classes, important)


def _case(evaluation: Evaluation, derivation: Derivation, names: Sequence[str] | None) -> Words:
    """Return the class that an evaluation is for."""
    c = evaluation.index
    if c is None:
        return ()
    number = Number(Decimal(c), digits=len(str(c)))
    name = f" ({printable(names[c])})" if names else ""
    if derivation.target is None:
        return (equation(Name("c"), number), name)
    if c == derivation.target:
        return (equation(Name("c"), Name("y"), number), name)
    return (Unequal(Name("c"), Name("y")), ", for ", equation(Name("c"), number), name)
