"""The logits and class names of a record, and messages about values that are something else."""

import math
from itertools import chain
from typing import Any

from softgrad.inputs.records.plain import PLAIN_NUMBERS
from softgrad.records.fields import CLASSES, LOGITS, TARGET
from softgrad_core.errors import InputError
from softgrad_core.loss.logits import check_class_count, check_values
from softgrad_core.loss.targets import check_class_names

INFINITIES: dict[str | None, float] = {"Infinity": math.inf, "-Infinity": -math.inf}

_NEAR_LOGITS = (
    "logit",
    "Logits",
    "a",
    "scores",
    "output",
    "outputs",
    "input",
    "inputs",
    "pred",
    "x",
)


def logits_of(value: dict[str, Any]) -> list[Any]:
    """Return the logits of a record, as one row or as the rows of a batch, or raise InputError."""
    logits = value.get(LOGITS)
    if type(logits) is not list:
        raise _not_logits(value)
    if not logits or type(logits[0]) is not list:
        return _row_of_logits(logits)
    if len(shape := outer_shape(logits)) > 1:
        logits = flattened(LOGITS, logits, shape)
    width = len(logits[0]) if type(logits[0]) is list else 0
    rows = []
    for place, row in enumerate(logits):
        if type(row) is not list or len(row) != width:
            got = f"one of {len(row)}" if type(row) is list else json_kind(row)
            expected = f"expected a row of {width} logits like the first"
            raise InputError("logits-ragged", f"logits[{place}]: {expected}, got {got}")
        try:
            rows.append(_row_of_logits(row))
        except InputError as error:
            raise in_row(error, LOGITS, place) from None
    return rows


def outer_shape(logits: Any) -> tuple[int, ...]:
    """Return the lengths of the lists around the rows of logits: (B, T) for a list of batches."""
    shape = []
    while type(logits) is list and logits and type(logits[0]) is list:
        shape.append(len(logits))
        logits = logits[0]
    return tuple(shape)


def flattened(name: str, value: Any, shape: tuple[int, ...]) -> list[Any]:
    """Return what nested lists of this shape hold, in order, or raise InputError."""
    items = [value]
    for length in shape:
        for item in items:
            if type(item) is not list or len(item) != length:
                got = f"a list of {len(item)}" if type(item) is list else json_kind(item)
                nested = " × ".join(map(str, shape))
                expected = f'expected "{name}" as lists of {nested}, like the rows of logits'
                raise InputError(f"{name.replace('_', '-')}-ragged", f"{expected}, got {got}")
        items = list(chain.from_iterable(items))
    return items


def in_row(error: InputError, name: str, row: int) -> InputError:
    """Return an error with the row of the batch added to its message."""
    within = error.reason.removeprefix(name)
    if not within.startswith("["):
        within = f": {error.reason}"
    return InputError(error.code, f"{name}[{row}]{within}")


def _row_of_logits(logits: list[Any]) -> list[float]:
    # Only if a look at all numbers finds something are they looked at one by one.
    is_plain = set(map(type, logits)) <= PLAIN_NUMBERS and are_finite(logits)
    if not is_plain:
        logits = [INFINITIES.get(n, n) if type(n) is str else n for n in logits]
    check_class_count(len(logits))
    if not is_plain:
        check_values(logits)
    return logits


def are_finite(numbers: list[Any]) -> bool:
    """Return whether all numbers are finite in float64."""
    try:
        return all(map(math.isfinite, numbers))
    except OverflowError:
        return False


def _not_logits(value: dict[str, object]) -> InputError:
    if LOGITS in value:
        reason = f'expected "{LOGITS}" to be a list of numbers, got {json_kind(value[LOGITS])}'
        return InputError("logits-not-a-list", reason)
    hint = next((f', got "{key}"' for key in _NEAR_LOGITS if key in value), "")
    reason = f'expected the pre-activations as "{LOGITS}", a list of numbers{hint}'
    return InputError("logits-missing", reason)


def not_an_object(value: object) -> str:
    """Return the message about a record that is not an object."""
    hint = ""
    if isinstance(value, list) and value and set(map(type, value)) <= PLAIN_NUMBERS:
        hint = f'; write {{"{LOGITS}": […], "{TARGET}": 0}}'
    return f'expected an object with "{LOGITS}" and "{TARGET}", got {json_kind(value)}{hint}'


def names_of(names: object, classes: int) -> list[str]:
    """Return the class names of a record, or raise InputError."""
    if not isinstance(names, (list, tuple)):
        reason = f'expected "{CLASSES}" to be a list of names, got {json_kind(names)}'
        raise InputError("classes-not-names", reason)
    return check_class_names(names, classes)


def json_kind(value: object) -> str:
    """Return what kind of JSON value this is, for a message."""
    from softgrad.records import json_text

    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case list():
            return "a list"
        case dict():
            return "an object"
        case str():
            return f'the text "{json_text.excerpt(value)}"'
        case _:
            return f"the number {json_text.excerpt(str(value))}"
