"""Records and their fields: the only place that knows the names of the JSON fields."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from operator import itemgetter
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from softgrad import json_text
from softgrad.messages import printable
from softgrad_core.errors import InputError, shortened
from softgrad_core.logits import FloatArray, OutOfRange, check_class_count, check_values
from softgrad_core.objective import (
    Batches,
    Objective,
    Reduction,
    joined,
    objective_of,
    rows_of,
    weights_by_name,
)
from softgrad_core.targets import check_class_names, check_distribution, class_index

if TYPE_CHECKING:
    from softgrad_core.comparison import Comparison
    from softgrad_core.derivation import Derivation
    from softgrad_core.diagnosis import Fit, VerifiedQuantity
    from softgrad_core.numerical import BatchCheck
    from softgrad_core.verification import Verification

LOGITS, TARGET, CLASSES = "logits", "target", "classes"
CHECK, VERIFY, EXPLAIN, ERROR, RECORD = "check", "verify", "explain", "error", "record"
DENOMINATOR, WARNING = "denominator", "warning"
CLASS_WEIGHTS, REDUCTION = "class_weights", "reduction"

OPTIONS = (
    "label_smoothing",
    CLASS_WEIGHTS,
    "ignore_index",
    "temperature",
    REDUCTION,
    "unnormalized_target",
)
"""The options of the loss, which are the keywords of softgrad_core.LossOptions."""

NO_ROWS_COUNT = "no row counts, or all that do have weight 0: the mean of nothing is NaN"

PROBS, LOSS, GRAD_PROBS, GRAD_LOGITS = "probs", "loss", "grad_probs", "grad_logits"
LOG_PROBS = "log_probs"

RESULTS = (PROBS, LOSS, GRAD_PROBS, GRAD_LOGITS)
"""The fields of a result, which are the attributes of softgrad_core.SoftmaxCrossEntropy."""

CLAIMS = (PROBS, LOG_PROBS, LOSS, GRAD_PROBS, GRAD_LOGITS)
"""The fields that can be verified, which are the parameters of softgrad_core.verify."""

STALE = {
    ERROR: {"code", "message", "source", "line"},
    CHECK: {"passed", "method"},
    VERIFY: {"passed", "dtype"},
    EXPLAIN: {"part", "title", "rule"},
}
"""Members that tell of one run only, and the keys by which softgrad's own are known.

A list is known by the keys of its first element.
"""

_PASSED = (b"true", b"null", b"false")
_VERDICTS = (b'"pass"', b'"uninformative"', b'"fail"')
"""What a record says of having passed, and of a verdict, by the rank of these."""

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
    size
        How many bytes were read for them.
    """

    source: str
    lines: list[int | None] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    size: int = 0

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

    def records(self) -> "Records":
        """Return these records: they are read already."""
        return self

    def first(self, count: int) -> "Records":
        """Return the first `count` records."""
        columns = self.lines[:count], self.texts[:count], self.values[:count]
        return Records(self.source, *columns, self.size)

    def place(self, index: int) -> str:
        """Return where a record is, as compilers write it."""
        line = self.lines[index]
        return self.source if line is None else f"{self.source}:{line}"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the command line says for records that do not say it themselves.

    `other` is the class that is shown beside the target where the gradients are explained.
    """

    target: int | str | list[float] | None = None
    classes: Sequence[str] | None = None
    other: int | str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Examples:
    """What records of one shape say; `indices` tells which of their block they are.

    Each has one row of logits, or is a batch of as many rows as the others. The names of the
    classes are one list for each record, or None where there are none; so is the class to show
    beside the target. `claims` are of shape (M, N * C) for M records of N rows, a claimed loss of
    shape (M, 1), or (M, N) where it is not reduced; there are none where none are asked for.
    """

    indices: Sequence[int]
    logits: FloatArray
    objective: Objective
    names: Sequence[list[str] | None]
    others: Sequence[int | None]
    claims: Mapping[str, FloatArray]
    are_batches: bool = False

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def size(self) -> int:
        """The number of rows of each record."""
        return len(self.logits) // len(self.indices)

    def rows(self, record: int) -> range:
        """Return the rows of a record."""
        return range(record * self.size, (record + 1) * self.size)

    def part(self, records: Sequence[int]) -> "Examples":
        """Return some of the examples, in this order."""
        return Examples(
            [self.indices[record] for record in records],
            self.logits[rows_of(records, self.size)],
            self.objective.of_batches(records),
            [self.names[record] for record in records],
            [self.others[record] for record in records],
            {name: claim[records] for name, claim in self.claims.items()},
            self.are_batches,
        )


def record_of(logits: list[float], source: str) -> Records:
    """Return the record of logits that were given without JSON."""
    text = orjson.dumps({LOGITS: [_writable(number) for number in logits]})
    return Records(source, [None], [text], [{LOGITS: logits}])


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


def added_members(value: object, defaults: Defaults) -> bytes:
    """Return what a result says beside its record's own members, each after a comma.

    A result says what it was computed for, also where its record left that to the command line.
    """
    said = {TARGET: defaults.target, CLASSES: defaults.classes, **defaults.options}
    added = b""
    if isinstance(value, dict):
        for name, default in said.items():
            if default is not None and name not in value:
                added += b',"%b":%b' % (name.encode(), orjson.dumps(default))
    return added


def of_batches(defaults: Defaults) -> Defaults:
    """Return the same with the reduction that batches have where nothing is said of it."""
    return replace(defaults, options={REDUCTION: Reduction.MEAN, **defaults.options})


def error_value(records: Records, index: int, error: InputError) -> dict[str, object]:
    """Return what is wrong with a record, as a member of it."""
    return {
        "code": error.code,
        "message": printable(error.reason),
        "source": printable(records.source),
        "line": records.lines[index],
    }


def reduction_members(objective: Objective) -> list[bytes]:
    """Return what is said of the means of batches, each after a comma."""
    if objective.batches is None or objective.divisor is None:
        return []
    return [
        b',"%b":%b%b'
        % (
            DENOMINATOR.encode(),
            orjson.dumps(denominator),
            b"" if denominator else b',"%b":%b' % (WARNING.encode(), orjson.dumps(NO_ROWS_COUNT)),
        )
        for denominator in objective.batches.denominators.tolist()
    ]


def check_value(check: "BatchCheck", *, of_batch: bool) -> dict[str, object]:
    """Return what a check says, as a member of its record."""
    return {
        "passed": check.passed,
        "method": check.rows[0].method,
        GRAD_PROBS: _comparison([row.grad_probs for row in check.rows], of_batch=of_batch),
        GRAD_LOGITS: _comparison([row.grad_logits for row in check.rows], of_batch=of_batch),
    }


def explain_value(derivation: "Derivation") -> list[dict[str, object]]:
    """Return a derivation, as a member of its record: a list of its steps."""
    from softgrad.mathematics import draw, in_words
    from softgrad.mathematics.latex import Latex
    from softgrad.mathematics.line import Line

    line, latex = Line(), Latex()
    shown = [c for c in derivation.classes if c is not None]
    steps: list[dict[str, object]] = []
    for step in derivation.steps:
        cases = []
        for evaluation in step.evaluations:
            case: dict[str, object] = (
                {} if evaluation.index is None else {"class": evaluation.index}
            )
            if None in derivation.classes and np.ndim(evaluation.right):
                case[CLASSES] = shown
            case |= {
                "numbers": draw(evaluation.numbers, line),
                "left": _without_nan(np.asarray(evaluation.left).tolist()),
                "right": _without_nan(np.asarray(evaluation.right).tolist()),
            }
            if evaluation.notes:
                case["notes"] = [in_words(note, line) for note in evaluation.notes]
            cases.append(case)
        steps.append(
            {
                "part": step.part,
                "title": step.title,
                "rule": in_words(step.rule, line),
                "formula": draw(step.formula, line),
                "latex": draw(step.formula, latex),
                "cases": cases,
            }
        )
    return steps


def writable(value: float | list[Any]) -> object:
    """Return numbers as JSON can hold them."""
    return [writable(entry) for entry in value] if isinstance(value, list) else _writable(value)


def _without_nan(value: float | list[Any]) -> object:
    """Return numbers as JSON can hold them, with null for what has no value."""
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    return None if math.isnan(value) else _writable(value)


def verification_columns(
    verification: "Verification", *, of_batch: bool
) -> list[bytes | list[bytes]]:
    """Return what a verification says, as members of its records, in pieces of JSON.

    A piece is the same for all records, or there is one for each.
    """
    ranks = verification.ranks.tolist()
    columns: list[bytes | list[bytes]] = [
        b'{"passed":',
        [_PASSED[rank] for rank in ranks],
        b',"dtype":%b' % orjson.dumps(verification.tolerance.dtype),
    ]
    for name, quantity in verification.quantities.items():
        members = _quantity_columns(name, quantity, of_batch=of_batch)
        columns += [b',"%b":{' % name.encode(), *members, b"}"]
    return [*columns, b"}"]


def _quantity_columns(
    name: str, quantity: "VerifiedQuantity", *, of_batch: bool
) -> list[bytes | list[bytes]]:
    comparison = quantity.comparison
    worst = comparison.worst_class
    rows = np.arange(len(worst))
    columns: list[bytes | list[bytes]] = [
        b'"verdict":',
        [_VERDICTS[rank] for rank in comparison.ranks.tolist()],
        b',"max_error_ulp":',
        json_numbers(_rounded(comparison.max_error_ulp)),
        b',"max_relative_error":',
        json_numbers(comparison.max_relative_error),
    ]
    worst_row, worst_class = quantity.place(worst)
    if of_batch and (name != LOSS or quantity.size > 1):
        columns += [b',"worst_row":', json_numbers(worst_row)]
    if name != LOSS:
        columns += [b',"worst_class":', json_numbers(worst_class)]
    columns += [
        b',"expected":',
        json_numbers(comparison.expected[rows, worst]),
        b',"got":',
        json_numbers(comparison.got[rows, worst], nan=b'"NaN"'),
    ]
    if name != LOSS:
        columns += [b',"uninformative":', json_numbers(comparison.uninformative)]
    if quantity.fits_by_row:
        diagnoses = [b""] * len(worst)
        for row, fits in quantity.fits_by_row.items():
            diagnosis = _diagnosis(fits, quantity.formulas.get(row))
            diagnoses[row] = b"," + orjson.dumps(diagnosis)[1:-1]
        columns.append(diagnoses)
    return columns


def _diagnosis(fits: "Sequence[Fit]", formula: str | None) -> dict[str, object]:
    """Return the simplest mistake that gives these numbers, and all where there are several."""
    if not fits:
        return {"mistake": "unknown"}
    diagnosis: dict[str, object] = {
        "mistake": fits[0].mistake.name,
        "formula": formula,
    }
    if len(fits) > 1:
        diagnosis["candidates"] = [fit.mistake.name for fit in fits]
    return diagnosis


def _rounded(errors: FloatArray) -> FloatArray:
    """Return errors in ulp to the thousandth, unless they are huge."""
    return np.where(errors < 1e9, np.round(np.minimum(errors, 1e9), 3), errors)


def json_numbers(values: npt.NDArray[np.generic], nan: bytes = b"null") -> list[bytes]:
    """Return each number as JSON; infinite ones as strings."""
    texts = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    numbers = texts[1:-1].split(b",")
    for place in np.flatnonzero(~np.isfinite(values)):
        value = float(values[place])
        numbers[place] = nan if math.isnan(value) else orjson.dumps(_writable(value))
    return numbers


def _comparison(rows: "Sequence[Comparison]", *, of_batch: bool) -> dict[str, object]:
    from softgrad_core.comparison import worst_of

    row = worst_of(rows)
    error = rows[row].max_relative_error
    return {
        "verdict": rows[row].verdict,
        "max_relative_error": "Infinity" if error == math.inf else error,
        **({"worst_row": row} if of_batch else {}),
        "worst_class": rows[row].worst_class,
        "uninformative": sum(comparison.uninformative for comparison in rows),
    }


def stale_members(value: dict[str, Any]) -> set[str]:
    """Return the keys of what an earlier run said of this record and this run does not."""
    stale = set()
    for name, keys in STALE.items():
        member = value.get(name)
        while isinstance(member, list) and member:
            [member, *_] = member
        if isinstance(member, dict) and keys <= member.keys():
            stale.add(name)
    return stale


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
