"""The logits and class names of a record, or what is wrong with them."""

import math
from typing import Any

from softgrad.inputs.records.plain import PLAIN_NUMBERS
from softgrad.records import json_text
from softgrad.records.fields import (
    CLASSES,
    LOGITS,
    TARGET,
)
from softgrad_core.errors import InputError
from softgrad_core.loss.logits import check_class_count, check_values
from softgrad_core.loss.targets import check_class_names

INFINITIES = {"Infinity": math.inf, "-Infinity": -math.inf}


def logits_of(value: dict[str, Any]) -> list[Any]:
    """Return the logits of a record, one row or the rows of a batch, or raise InputError."""
    logits = value.get(LOGITS)
    if type(logits) is not list:
        raise InputError(*_not_logits(value))
    if not logits or type(logits[0]) is not list:
        return _row_of_logits(logits)
    width = len(logits[0])
    rows = []
    for place, row in enumerate(logits):
        if type(row) is not list or len(row) != width:
            got = f"one of {len(row)}" if type(row) is list else json_kind(row)
            raise InputError(
                "logits-ragged",
                f"logits[{place}]: expected a row of {width} logits like the first, got {got}",
            )
        try:
            rows.append(_row_of_logits(row))
        except InputError as error:
            raise in_row(error, LOGITS, place) from None
    return rows


def in_row(error: InputError, name: str, row: int) -> InputError:
    """Return an error with the row of the batch that it is in."""
    within = error.reason.removeprefix(name)
    reason = (
        f"{name}[{row}]{within}" if within.startswith("[") else f"{name}[{row}]: {error.reason}"
    )
    return InputError(error.code, reason)


def _row_of_logits(logits: list[Any]) -> list[float]:
    """Return one row of logits, or raise InputError."""
    # Numbers are looked at one by one only where a look at all of them finds something.
    if set(map(type, logits)) <= PLAIN_NUMBERS and are_finite(logits):
        check_class_count(len(logits))
        return logits
    numbers: list[Any] = [
        INFINITIES.get(number, number) if type(number) is str else number for number in logits
    ]
    check_class_count(len(numbers))
    check_values(numbers)
    return numbers


def are_finite(numbers: list[Any]) -> bool:
    """Return whether all numbers are finite in float64."""
    try:
        return all(map(math.isfinite, numbers))
    except OverflowError:
        return False


def _not_logits(value: dict[str, object]) -> tuple[str, str]:
    """Return the code and the reason of the error of a record without a list of logits."""
    if LOGITS in value:
        kind = json_kind(value[LOGITS])
        return "logits-not-a-list", f'expected "{LOGITS}" to be a list of numbers, got {kind}'
    near = next(
        (key for key in ("logit", "Logits", "a", "scores", "outputs") if key in value), None
    )
    hint = f', got "{near}"' if near else ""
    return "logits-missing", f'expected the pre-activations as "{LOGITS}", a list of numbers{hint}'


def not_an_object(value: object) -> str:
    """Return what is wrong with a record that is no object."""
    hint = ""
    if isinstance(value, list) and value and set(map(type, value)) <= PLAIN_NUMBERS:
        hint = f'; write {{"{LOGITS}": […], "{TARGET}": 0}}'
    return f'expected an object with "{LOGITS}" and "{TARGET}", got {json_kind(value)}{hint}'


def names_of(names: object, classes: int) -> list[str]:
    """Return the names of the classes of a record, or raise InputError."""
    if not isinstance(names, (list, tuple)):
        raise InputError(
            "classes-not-names",
            f'expected "{CLASSES}" to be a list of names, got {json_kind(names)}',
        )
    return check_class_names(names, classes)


def json_kind(value: object) -> str:
    """Return the kind of this JSON value, for a message."""
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
