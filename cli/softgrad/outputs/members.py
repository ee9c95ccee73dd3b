"""What is said of a record, as members of JSON that are added to it."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import orjson

from softgrad.messages import printable
from softgrad_core.errors import InputError
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import (
    Objective,
    Reduction,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from softgrad_core.checking.check import BatchCheck
    from softgrad_core.checking.comparison import Comparison
    from softgrad_core.derivation.explain import Derivation
    from softgrad_core.verification.diagnosis.recognition import Fit, VerifiedQuantity
    from softgrad_core.verification.verify import Verification
from softgrad.records.fields import (
    CHECK,
    CLASSES,
    DENOMINATOR,
    ERROR,
    EXPLAIN,
    GRAD_LOGITS,
    GRAD_PROBS,
    LOSS,
    REDUCTION,
    TARGET,
    VERIFY,
    WARNING,
)
from softgrad.records.records import Defaults, Records, json_number

NO_ROWS_COUNT = "no row counts, or all that do have weight 0: the mean of nothing is NaN"

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
    from softgrad.outputs.mathematics import draw, in_words
    from softgrad.outputs.mathematics.latex import Latex
    from softgrad.outputs.mathematics.line import Line

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
    return [writable(entry) for entry in value] if isinstance(value, list) else json_number(value)


def _without_nan(value: float | list[Any]) -> object:
    """Return numbers as JSON can hold them, with null for what has no value."""
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    return None if math.isnan(value) else json_number(value)


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
        numbers[place] = nan if math.isnan(value) else orjson.dumps(json_number(value))
    return numbers


def _comparison(rows: "Sequence[Comparison]", *, of_batch: bool) -> dict[str, object]:
    from softgrad_core.checking.comparison import worst_of

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
