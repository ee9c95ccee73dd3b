"""Records -> what they say, by their shapes, or what is wrong with them."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from operator import itemgetter
from types import NoneType
from typing import Any, NamedTuple

import numpy as np

from softgrad.records import json_text
from softgrad.records.fields import (
    CLAIMS,
    CLASS_WEIGHTS,
    CLASSES,
    LOGITS,
    LOSS,
    OPTIONS,
    REDUCTION,
    TARGET,
)
from softgrad.records.records import Defaults, Examples, Records
from softgrad_core.errors import InputError, shortened
from softgrad_core.loss.logits import FloatArray, OutOfRange, check_class_count, check_values
from softgrad_core.loss.objective import (
    Batches,
    Objective,
    Reduction,
    joined,
    objective_of,
    weights_by_name,
)
from softgrad_core.loss.targets import check_class_names, check_distribution, class_index

_NEAR_CLAIMS = {
    "dlogits",
    "grad",
    "grad_a",
    "gradient",
    "gradients",
    "grads",
    "log_softmax",
    "logprobs",
    "nll",
    "prob",
    "probabilities",
    "softmax",
}
"""Other names that a claim might be given, which is not read."""

_READ = (LOGITS, TARGET, CLASSES, *OPTIONS)

_QUOTED = {name: f'"{name}"'.encode() for name in (*_READ, *CLAIMS)}

_UNUSUAL = {CLASSES, *OPTIONS}
"""What few records have: those that do are looked at one by one."""

_ESCAPED_LETTER = re.compile(rb"\\u00[67]")

_PLAIN_NUMBERS = {float, int}

_INFINITIES = {"Infinity": math.inf, "-Infinity": -math.inf}

# Where a claim is not a number it is wrong, not unreadable; some encoders write NaN as null.
_NOT_FINITE = dict([*_INFINITIES.items(), ("NaN", math.nan), (None, math.nan)])


def interpret(
    records: Records, defaults: Defaults, *, with_claims: bool
) -> tuple[list[Examples], Mapping[int, InputError]]:
    """Return what the records say, by their shapes, and what is wrong with the others.

    With claims, the examples of a group claim the same quantities.
    """
    plain = _plain_examples(records, defaults, with_claims=with_claims)
    if plain is not None:
        return [plain], {}
    errors: dict[int, InputError] = {}
    groups: dict[tuple[object, ...], list[tuple[int, _Said]]] = {}
    for index, (text, value) in enumerate(zip(records.texts, records.values, strict=True)):
        try:
            said = _interpret_one(text, value, defaults, with_claims=with_claims)
        except InputError as error:
            errors[index] = error.with_traceback(None)
        else:
            groups.setdefault(said.kind, []).append((index, said))
    return [_examples_of(group) for group in groups.values()], errors


class _Said(NamedTuple):
    """What one record says; an objective only where there is more to it than a label."""

    logits: list[Any]
    target: Any
    objective: Objective | None
    names: list[str] | None
    other: int | None
    claims: dict[str, list[float]]

    @property
    def kind(self) -> tuple[object, ...]:
        """What records have in common that are looked at together."""
        is_batch = type(self.logits[0]) is list
        shape = (len(self.logits), len(self.logits[0])) if is_batch else (len(self.logits),)
        if self.objective is None:
            return (shape, *self.claims)
        batches = self.objective.batches
        is_soft = self.objective.distribution is not None
        # What is said of one record beside its label must not be said of the others, as neutral as
        # it may be: a record has the same bits whatever stands beside it.
        paths = self.objective.is_plain, self.objective.is_of_labels
        is_mean = self.objective.divisor is not None
        return (shape, is_soft, *paths, is_mean, batches and batches.reduced, *self.claims)


def _examples_of(group: list[tuple[int, _Said]]) -> Examples:
    said = [one for _, one in group]
    logits = np.array([one.logits for one in said], dtype=np.float64)
    classes = logits.shape[-1]
    if said[0].objective is None:
        objective = Objective(np.array([one.target for one in said]))
    else:
        objective = joined([one.objective for one in said if one.objective is not None], classes)
    return Examples(
        [index for index, _ in group],
        logits.reshape(-1, classes),
        objective,
        [one.names for one in said],
        [one.other for one in said],
        {
            name: np.array([one.claims[name] for one in said], dtype=np.float64)
            for name in said[0].claims
        },
        are_batches=logits.ndim > 2,
    )


def _plain_examples(records: Records, defaults: Defaults, *, with_claims: bool) -> Examples | None:
    """Return what the records say where they are all of the usual kind, else None.

    These are records of one width, with numbers for logits, whole numbers for targets, no class
    names and nothing given twice. Looking at them together takes a third of the time.
    """
    if not records or defaults != Defaults():
        return None
    values = records.values
    try:
        rows = list(map(itemgetter(LOGITS), values))
        targets = list(map(itemgetter(TARGET), values))
        if not _are_plain(b"".join(records.texts), values, rows, targets):
            return None
        logits = np.array(rows, dtype=np.float64)
        claims = _plain_claims(values, logits.shape[1]) if with_claims else {}
    except (KeyError, TypeError, OverflowError):
        return None
    labels = np.array(targets)
    classes = logits.shape[1]
    if classes < 2 or labels.min() < 0 or labels.max() >= classes or not np.isfinite(logits).all():
        return None
    if claims is None:
        return None
    nothing = [None] * len(records)
    return Examples(range(len(records)), logits, Objective(labels), nothing, nothing, claims)


def _are_plain(text: bytes, values: list[Any], rows: list[Any], targets: list[Any]) -> bool:
    if set(map(type, targets)) != {int} or not all(map(_UNUSUAL.isdisjoint, values)):
        return False
    if _may_hide_a_key(text):
        return False
    # Two quotes for each key leave no room for a key that is given twice.
    if text.count(b'"') != 2 * sum(map(len, values)) and any(
        text.count(name) > len(rows) for name in _QUOTED.values()
    ):
        return False
    return _are_number_lists(rows)


def _are_number_lists(rows: list[Any]) -> bool:
    """Return whether these are lists of numbers, all of one length."""
    return (
        set(map(type, rows)) == {list}
        and len(set(map(len, rows))) == 1
        and set(map(type, chain.from_iterable(rows))) <= _PLAIN_NUMBERS
    )


def _plain_claims(values: list[Any], classes: int) -> dict[str, FloatArray] | None:
    """Return the claims where all records claim the same, with numbers that are finite."""
    names = [name for name in CLAIMS if name in values[0]]
    if not names or not all(map({*CLAIMS}.difference(names).isdisjoint, values)):
        return None
    claims = {}
    for name in names:
        column = list(map(itemgetter(name), values))
        rows = [[number] for number in column] if name == LOSS else column
        if not _are_number_lists(rows) or len(rows[0]) != (1 if name == LOSS else classes):
            return None
        claims[name] = np.array(rows, dtype=np.float64)
    return claims


def _may_hide_a_key(text: bytes) -> bool:
    """Return whether a letter is written as an escape, by which two keys may be the same."""
    # A search for one byte is many times as fast as one for several, and mostly answers it.
    return b"\\" in text and _ESCAPED_LETTER.search(text) is not None


def _interpret_one(text: bytes, value: Any, defaults: Defaults, *, with_claims: bool) -> _Said:
    """Return what one record says, or raise InputError."""
    if isinstance(value, InputError):
        raise value
    if not isinstance(value, dict):
        raise InputError("not-an-object", _not_an_object(value))
    _refuse_repeated(text, _READ + CLAIMS if with_claims else _READ)
    logits = _logits_of(value)
    is_batch = type(logits[0]) is list
    classes = len(logits[0]) if is_batch else len(logits)
    names = value.get(CLASSES, defaults.classes)
    if names is not None:
        names = _names_of(names, classes)
    if TARGET not in value and defaults.target is None:
        raise InputError(
            "target-missing",
            f'expected the true class as "{TARGET}": an index from 0, or give --target',
        )
    target = value.get(TARGET, defaults.target)
    options = _options_of(value, defaults, names)
    if is_batch:
        options.setdefault(REDUCTION, Reduction.MEAN)
    objective = None
    if options or type(target) is list:
        target = _target_of(target, logits, names, options)
        shape = (len(logits), classes) if is_batch else (classes,)
        objective = objective_of(target, shape, **options)
        if is_batch and objective.batches is None:
            objective = replace(objective, batches=Batches(len(logits), np.ones(1), reduced=False))
    else:
        target = class_index(target, classes, names)
    other = defaults.other
    if other is not None:
        other = class_index(other, classes, names, what="class")
    claims = _claims_of(value, logits, objective) if with_claims else {}
    return _Said(logits, target, objective, names, other, claims)


def _options_of(
    value: dict[str, Any], defaults: Defaults, names: list[str] | None
) -> dict[str, Any]:
    """Return the options of the loss of a record; null is as if nothing were said."""
    if not defaults.options and _UNUSUAL.isdisjoint(value):
        return {}
    options = {name: defaults.options[name] for name in OPTIONS if name in defaults.options}
    options |= {name: value[name] for name in OPTIONS if name in value}
    options = {name: option for name, option in options.items() if option is not None}
    weights = options.get(CLASS_WEIGHTS)
    if isinstance(weights, dict):
        options[CLASS_WEIGHTS] = weights_by_name(weights, names)
    if not isinstance(options.get("unnormalized_target", False), bool):
        kind = json_kind(options["unnormalized_target"])
        raise InputError(
            "unnormalized-target-not-a-boolean",
            f"expected unnormalized_target to be true or false, got {kind}",
        )
    return options


def _target_of(
    target: Any, logits: list[Any], names: list[str] | None, options: Mapping[str, Any]
) -> Any:
    """Return a target as indices of classes, or as probabilities, or raise InputError."""
    ignored, is_unnormalized = options.get("ignore_index"), options.get("unnormalized_target")
    is_batch = type(logits[0]) is list
    if not is_batch:
        return _target_of_row(target, len(logits), names, ignored, unnormalized=is_unnormalized)
    if type(target) is not list or len(target) != len(logits):
        got = len(target) if type(target) is list else json_kind(target)
        raise InputError(
            "targets-count",
            f"expected one target for each of {len(logits)} rows of logits, got {got}",
        )
    targets = []
    for row, one in enumerate(target):
        try:
            targets.append(
                _target_of_row(one, len(logits[0]), names, ignored, unnormalized=is_unnormalized)
            )
        except InputError as error:
            raise _in_row(error, TARGET, row) from None
    if len({type(one) for one in targets}) > 1:
        raise InputError(
            "targets-mixed", "expected labels or lists of probabilities as targets, got both"
        )
    return targets


def _target_of_row(
    target: Any, classes: int, names: list[str] | None, ignored: Any, *, unnormalized: Any
) -> int | list[float]:
    if type(target) is list:
        check_distribution(target, classes, unnormalized=bool(unnormalized))
        return [float(share) for share in target]
    if type(target) is int and target == ignored:
        return target
    return class_index(target, classes, names)


def _logits_of(value: dict[str, Any]) -> list[Any]:
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
            raise _in_row(error, LOGITS, place) from None
    return rows


def _in_row(error: InputError, name: str, row: int) -> InputError:
    """Return an error in a row of a batch with the place of the row."""
    within = error.reason.removeprefix(name)
    reason = (
        f"{name}[{row}]{within}" if within.startswith("[") else f"{name}[{row}]: {error.reason}"
    )
    return InputError(error.code, reason)


def _row_of_logits(logits: list[Any]) -> list[float]:
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


def _claims_of(
    value: dict[str, Any], logits: list[Any], objective: Objective | None
) -> dict[str, list[float]]:
    """Return what a record claims, each quantity as a list, or raise InputError."""
    claims = {}
    for name in CLAIMS:
        if name in value and type(logits[0]) is list:
            claims[name] = _claim_of_batch(name, value[name], logits, objective)
        elif name in value:
            claims[name] = _claim_of(name, value[name], 1 if name == LOSS else len(logits))
    if not claims:
        *others, last = (f'"{name}"' for name in CLAIMS)
        near = next(iter(near_claims([value])), None)
        hint = f', got "{near}"' if near else ""
        raise InputError(
            "claim-missing",
            f"expected a claim to verify, any of {', '.join(others)} and {last}{hint}",
        )
    return claims


def near_claims(values: Iterable[object]) -> list[str]:
    """Return the names in these records that look like claims and are not read as such."""
    found: set[str] = set()
    for value in values:
        if isinstance(value, dict) and not _NEAR_CLAIMS.isdisjoint(value):
            found |= _NEAR_CLAIMS.intersection(value)
    return sorted(found)


def _claim_of(name: str, claim: Any, count: int) -> list[float]:
    numbers = [claim] if name == LOSS else claim
    if type(numbers) is not list or len(numbers) != count or isinstance(numbers[0], (list, dict)):
        expected = "a number" if name == LOSS else f"{count} numbers, one for each logit"
        raise InputError("claim-shape", f'expected "{name}" to be {expected}, got {_shape(claim)}')
    if set(map(type, numbers)) <= _PLAIN_NUMBERS and _are_finite(numbers):
        return numbers
    return [_claimed_number(name, place, number) for place, number in enumerate(numbers)]


def _claim_of_batch(
    name: str, claim: Any, logits: list[Any], objective: Objective | None
) -> list[float]:
    """Return what is claimed of the rows of a batch, one row after another."""
    if name == LOSS and objective is not None and objective.batches and objective.batches.reduced:
        if type(claim) is list:
            raise InputError(
                "claim-shape",
                'expected "loss" to be a number, got a list; with "reduction": "none" each row '
                "has its own",
            )
        return _claim_of(name, claim, 1)
    expected = f"{len(logits)} numbers" if name == LOSS else f"{len(logits)} lists"
    if type(claim) is not list or len(claim) != len(logits):
        got = len(claim) if type(claim) is list else json_kind(claim)
        raise InputError(
            "claim-shape",
            f'expected "{name}" to be {expected}, one for each row of logits, got {got}',
        )
    count = 1 if name == LOSS else len(logits[0])
    try:
        return list(chain.from_iterable(_claim_of(name, row, count) for row in claim))
    except InputError as error:
        raise InputError(error.code, f"{error.reason} (in a batch)") from None


def _shape(claim: object) -> str:
    """Return what a claim of the wrong shape is, for a message."""
    if type(claim) is not list or not claim:
        return json_kind(claim)
    if type(claim[0]) is list:
        return "lists, as for a batch"
    return "a list" if len(claim) == 1 else str(len(claim))


def _claimed_number(name: str, place: int, number: Any) -> float:
    if type(number) in _PLAIN_NUMBERS:
        with suppress(OverflowError):
            return float(number)
    if isinstance(number, (str, NoneType)) and number in _NOT_FINITE:
        return _NOT_FINITE[number]
    where = name if name == LOSS else f"{name}[{place}]"
    if type(number) in {int, OutOfRange}:
        got = f"{shortened(str(number))}, which is outside the range of float64"
    else:
        got = json_kind(number)
    raise InputError("claim-not-a-number", f"{where}: expected a number, got {got}")


def _refuse_repeated(text: bytes, names: Sequence[str]) -> None:
    """Raise InputError where a field that is read is given twice, and nobody can tell which."""
    if not _may_hide_a_key(text) and all(text.count(_QUOTED[name]) < 2 for name in names):
        return
    counts = Counter(member.key for member in json_text.members(text.decode()))
    for name in names:
        if counts[name] > 1:
            raise InputError(
                "key-repeated", f'"{name}" is given {counts[name]} times in one record'
            )


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
