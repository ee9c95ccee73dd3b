"""The derivation of the gradients of a row, step by step."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from softgrad.messages import printable
from softgrad.outputs.page.blocks import Block, Heading, NumberedStep, Prose, listed
from softgrad_core.derivation import formulas as f
from softgrad_core.derivation.explain import Derivation, explain
from softgrad_core.derivation.steps import Evaluation
from softgrad_core.derivation.symbols import words

TITLE = "The derivation"
HOW_TO_READ = (
    "Below each formula are its numbers: first the value of the left side, then the right side "
    "with numbers in it, then its value. The two values are computed independently; if they "
    "agree, the step is right. A derivative on the left is measured: its variable is moved up and "
    "down a little, and the change of the function is divided by the change of the variable. "
    "Six digits are shown but more are computed, so a pocket calculator may differ in the last."
)


IN_SYMBOLS = "Vectors are written out for three classes."


def in_symbols(options: Mapping[str, Any]) -> Iterator[Block]:
    """Yield the steps of the derivation for a loss with these options, without numbers."""
    derivation = explain([0.0, 0.0, 0.0], 0, **options)
    steps = tuple(replace(step, evaluations=()) for step in derivation.steps)
    yield from steps_of(replace(derivation, steps=steps), how_to_read=IN_SYMBOLS)


def steps_of(
    derivation: Derivation,
    names: Sequence[str] | None = None,
    *,
    of: str = "",
    how_to_read: str = HOW_TO_READ,
) -> Iterator[Block]:
    """Yield the steps of a derivation, part by part; `of` names the row, if there are several."""
    classes = derivation.classes
    if None in classes:
        how_to_read += f" Vectors and matrices show the entries for {listed(classes)} only."
    yield Heading(f"{TITLE}{of}", level=2)
    yield Prose(_symbols(derivation))
    yield Prose((how_to_read,))
    part = ""
    important = [classes.index(c) for c in derivation.cases]
    for number, step in enumerate(derivation.steps, 1):
        if step.part != part:
            part = step.part
            yield Heading(part, level=3)
        cases = [_case(evaluation, derivation, names) for evaluation in step.evaluations]
        yield NumberedStep(number, step, cases, classes, important)


def _symbols(derivation: Derivation) -> f.Words:
    """Return what the letters stand for."""
    if derivation.is_plain:
        classes = "{y} is the true class, {c} is any class, and {k} runs over all classes. "
    else:
        classes = "{q} are the weights that the target gives to the classes. "
        if derivation.target is not None:
            classes += "{y} is the true class. "
        classes += "{c}, {i} and {k} are classes. "
    return words(
        "{a} are the pre-activations (logits) of the output layer for an input {x}, one for each "
        "class; classes are numbered from 0. "
        + classes
        + "{f(x)} is the output and {L} the loss. Logarithms are natural.",
        x=f.Name("x"),
        q=f.KnownVector("q", ()),
    )


def _case(evaluation: Evaluation, derivation: Derivation, names: Sequence[str] | None) -> f.Words:
    """Return the class that an evaluation is for."""
    index = evaluation.index
    if index is None:
        return ()
    c, y = f.Name("c"), f.Name("y")
    number = f.Number(Decimal(index), digits=max(6, len(str(index))), of=c)
    name = f" ({printable(names[index])})" if names else ""
    if derivation.target is None:
        return (f.equation(c, number), name)
    if index == derivation.target:
        return (f.equation(c, y, number), name)
    return (f.Unequal(c, y), ", for ", f.equation(c, number), name)
