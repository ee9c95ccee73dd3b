"""Records and their fields: the only place that knows the names of the JSON fields."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from softgrad import json_text
from softgrad.messages import printable
from softgrad_core.errors import InputError
from softgrad_core.logits import FloatArray, check_class_count, check_values
from softgrad_core.targets import IndexArray, check_class_names, class_index

if TYPE_CHECKING:
    from softgrad_core.comparison import Comparison
    from softgrad_core.numerical import GradientCheck

LOGITS, TARGET, CLASSES = "logits", "target", "classes"
CHECK, ERROR, RECORD = "check", "error", "record"

PROBS, LOSS, GRAD_PROBS, GRAD_LOGITS = "probs", "loss", "grad_probs", "grad_logits"

RESULTS = (PROBS, LOSS, GRAD_PROBS, GRAD_LOGITS)
"""The fields of a result, which are the attributes of softgrad_core.SoftmaxCrossEntropy."""

STALE = {ERROR: {"code", "message", "source", "line"}, CHECK: {"passed", "method"}}
"""Members that tell of one run only, and the keys by which softgrad's own are known."""

_READ = (LOGITS, TARGET, CLASSES)
_QUOTED = {name: f'"{name}"'.encode() for name in _READ}
_ESCAPED_LETTER = re.compile(rb"\\u00[67]")
_PLAIN_NUMBERS = {float, int}
_INFINITIES = {"Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(slots=True)
class Records:
    """Consecutive records of one source, column by column.

    Attributes
    ----------
    source
        The name of the file they came from.
    lines
        Where each starts, from 1; None for a record that came without lines.
    texts
        Each as it came, as valid JSON on one line; empty where it could not be read.
    values
        What each text says; an InputError where it could not be read.
    """

    source: str
    lines: list[int | None] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.values)

    def add(self, line: int | None, text: bytes, value: Any) -> None:
        """Add a record."""
        self.lines.append(line)
        self.texts.append(text)
        self.values.append(value)

    def add_unreadable(self, line: int | None, error: InputError) -> None:
        """Add a record that could not be read, and why."""
        self.add(line, b"", error.with_traceback(None))

    def first(self, count: int) -> "Records":
        """Return the first `count` records."""
        return Records(self.source, self.lines[:count], self.texts[:count], self.values[:count])

    def place(self, index: int) -> str:
        """Return where a record is, as compilers write it."""
        line = self.lines[index]
        return self.source if line is None else f"{self.source}:{line}"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the command line says for records that do not say it themselves."""

    target: int | str | None = None
    classes: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Examples:
    """What records of one number of classes say; `indices` tells which of their block they are.

    The names of the classes are one list for each record, or None where there are none.
    """

    indices: Sequence[int]
    logits: FloatArray
    labels: IndexArray
    names: Sequence[list[str] | None]


def record_of(logits: list[float], source: str) -> Records:
    """Return the record of logits that were given without JSON."""
    text = orjson.dumps({LOGITS: [_writable(number) for number in logits]})
    return Records(source, [None], [text], [{LOGITS: logits}])


def interpret(
    records: Records, defaults: Defaults
) -> tuple[list[Examples], Mapping[int, InputError]]:
    """Return what the records say, by number of classes, and what is wrong with the others."""
    plain = _plain_examples(records, defaults)
    if plain is not None:
        return [plain], {}
    errors: dict[int, InputError] = {}
    by_width: dict[int, list[tuple[int, list[float], int, list[str] | None]]] = {}
    for index, (text, value) in enumerate(zip(records.texts, records.values, strict=True)):
        try:
            logits, label, names = interpret_one(text, value, defaults)
        except InputError as error:
            errors[index] = error.with_traceback(None)
        else:
            by_width.setdefault(len(logits), []).append((index, logits, label, names))
    groups = []
    for group in by_width.values():
        indices, rows, labels, class_names = zip(*group, strict=True)
        groups.append(
            Examples(indices, np.array(rows, dtype=np.float64), np.array(labels), class_names)
        )
    return groups, errors


def _plain_examples(records: Records, defaults: Defaults) -> Examples | None:
    """Return what the records say where they are all of the usual kind, else None.

    These are records of one width, with numbers for logits, whole numbers for targets, no class
    names and nothing given twice. Looking at them together takes a third of the time.
    """
    if not records or defaults != Defaults():
        return None
    text = b"".join(records.texts)
    try:
        rows = list(map(itemgetter(LOGITS), records.values))
        targets = list(map(itemgetter(TARGET), records.values))
        if not _are_plain(text, records.values, rows, targets):
            return None
        logits = np.array(rows, dtype=np.float64)
    except (KeyError, TypeError, OverflowError):
        return None
    labels = np.array(targets)
    classes = logits.shape[1]
    if classes < 2 or labels.min() < 0 or labels.max() >= classes or not np.isfinite(logits).all():
        return None
    return Examples(range(len(records)), logits, labels, [None] * len(records))


def _are_plain(text: bytes, values: list[Any], rows: list[Any], targets: list[Any]) -> bool:
    if set(map(type, rows)) != {list} or set(map(type, targets)) != {int}:
        return False
    if len(set(map(len, rows))) > 1 or _QUOTED[CLASSES] in text:
        return False
    if _may_hide_a_key(text):
        return False
    # Two quotes for each key leave no room for a key that is given twice.
    if text.count(b'"') != 2 * sum(map(len, values)) and any(
        text.count(name) > len(rows) for name in _QUOTED.values()
    ):
        return False
    return set(map(type, chain.from_iterable(rows))) <= _PLAIN_NUMBERS


def _may_hide_a_key(text: bytes) -> bool:
    """Return whether a letter is written as an escape, by which two keys may be the same."""
    # A search for one byte is many times as fast as one for several, and mostly answers it.
    return b"\\" in text and _ESCAPED_LETTER.search(text) is not None


def interpret_one(
    text: bytes, value: Any, defaults: Defaults
) -> tuple[list[float], int, list[str] | None]:
    """Return logits, label and class names of one record, or raise InputError."""
    if isinstance(value, InputError):
        raise value
    if not isinstance(value, dict):
        raise InputError("not-an-object", _not_an_object(value))
    _refuse_repeated(text)
    logits = _logits_of(value)
    names = value.get(CLASSES, defaults.classes)
    if names is not None:
        names = _names_of(names, len(logits))
    if TARGET not in value and defaults.target is None:
        raise InputError(
            "target-missing",
            f'expected the true class as "{TARGET}": an index from 0, or give --target',
        )
    target = value.get(TARGET, defaults.target)
    return logits, class_index(target, len(logits), names), names


def added_members(value: object, defaults: Defaults) -> bytes:
    """Return what a result says beside its record's own members, each after a comma.

    A result says what it was computed for, also where its record left that to the command line.
    """
    added = b""
    if isinstance(value, dict):
        for name, default in ((TARGET, defaults.target), (CLASSES, defaults.classes)):
            if default is not None and name not in value:
                added += b',"%b":%b' % (name.encode(), orjson.dumps(default))
    return added


def error_value(records: Records, index: int, error: InputError) -> dict[str, object]:
    """Return what is wrong with a record, as a member of it."""
    return {
        "code": error.code,
        "message": printable(error.reason),
        "source": printable(records.source),
        "line": records.lines[index],
    }


def check_value(check: "GradientCheck") -> dict[str, object]:
    """Return what a check says, as a member of its record."""
    return {
        "passed": check.passed,
        "method": check.method,
        GRAD_PROBS: _comparison(check.grad_probs),
        GRAD_LOGITS: _comparison(check.grad_logits),
    }


def _comparison(comparison: "Comparison") -> dict[str, object]:
    error = comparison.max_relative_error
    return {
        "verdict": comparison.verdict,
        "max_relative_error": "Infinity" if error == math.inf else error,
        "worst_class": comparison.worst_class,
        "uninformative": comparison.uninformative,
    }


def stale_members(value: dict[str, Any]) -> set[str]:
    """Return the keys of what an earlier run said of this record and this run does not."""
    return {
        name
        for name, keys in STALE.items()
        if isinstance(value.get(name), dict) and keys <= value[name].keys()
    }


def _logits_of(value: dict[str, Any]) -> list[float]:
    logits = value.get(LOGITS)
    if type(logits) is not list:
        raise InputError(*_not_logits(value))
    # One look at all numbers together; they are looked at one by one where that finds something.
    if set(map(type, logits)) <= _PLAIN_NUMBERS and _are_finite(logits):
        check_class_count(len(logits))
        return logits
    numbers: list[Any] = [
        _INFINITIES.get(number, number) if type(number) is str else number for number in logits
    ]
    check_class_count(len(numbers))
    check_values(numbers)
    return numbers


def _are_finite(numbers: list[Any]) -> bool:
    try:
        return all(map(math.isfinite, numbers))
    except OverflowError:
        return False


def _not_logits(value: dict[str, object]) -> tuple[str, str]:
    if LOGITS in value:
        kind = json_kind(value[LOGITS])
        return "logits-not-a-list", f'expected "{LOGITS}" to be a list of numbers, got {kind}'
    near = next(
        (key for key in ("logit", "Logits", "a", "scores", "outputs") if key in value), None
    )
    hint = f', got "{near}"' if near else ""
    return "logits-missing", f'expected the pre-activations as "{LOGITS}", a list of numbers{hint}'


def _not_an_object(value: object) -> str:
    hint = ""
    if isinstance(value, list) and value and set(map(type, value)) <= _PLAIN_NUMBERS:
        hint = f'; write {{"{LOGITS}": […], "{TARGET}": 0}}'
    return f'expected an object with "{LOGITS}" and "{TARGET}", got {json_kind(value)}{hint}'


def _names_of(names: object, classes: int) -> list[str]:
    if not isinstance(names, (list, tuple)):
        raise InputError(
            "classes-not-names",
            f'expected "{CLASSES}" to be a list of names, got {json_kind(names)}',
        )
    return check_class_names(names, classes)


def _refuse_repeated(text: bytes) -> None:
    """Raise InputError where a field that is read is given twice, and nobody can tell which."""
    if not _may_hide_a_key(text) and all(text.count(name) < 2 for name in _QUOTED.values()):
        return
    counts = Counter(member.key for member in json_text.members(text.decode()))
    for name in _READ:
        if counts[name] > 1:
            raise InputError(
                "key-repeated", f'"{name}" is given {counts[name]} times in one record'
            )


def _writable(number: float) -> float | str:
    """Return the number as JSON can hold it, infinities as strings."""
    return number if math.isfinite(number) else str(number).replace("inf", "Infinity")


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
