"""What results add to a record: the members of JSON, by name."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson

from softgrad.records.fields import (
    CHECK,
    CLASSES,
    DIVISOR,
    EXPLAIN,
    GRAD_LOGITS,
    GRAD_PROBS,
    LOSSES,
    NO_ROWS_COUNT,
    VERIFY,
    WARNING,
)
from softgrad.records.records import json_number
from softgrad.work import Batch, Computed, Verified
from softgrad_core.verdicts import RANKED

if TYPE_CHECKING:
    from softgrad_core.checking.check import BatchCheck
    from softgrad_core.checking.comparison import Comparison
    from softgrad_core.derivation.explain import Derivation
    from softgrad_core.derivation.steps import Evaluation
    from softgrad_core.verification.diagnosis.recognition import Fit
    from softgrad_core.verification.quantity import VerifiedQuantity

Column: TypeAlias = bytes | list[bytes]
"""A piece of JSON: the same for all records, or one for each."""


# How a record says that it has passed, and a verdict, by rank.
_PASSED = (b"true", b"null", b"false")
_VERDICTS = [orjson.dumps(str(verdict)) for verdict in RANKED]


def members_of(batch: Batch, fields: Sequence[str]) -> dict[str, list[Column]]:
    """Return what a batch adds to its records: the pieces of each value, by name.

    `fields` are the results to add where the batch was computed.
    """
    if isinstance(batch, Verified):
        return {VERIFY: _verdicts(batch)}
    members = {name: _result(name, batch) for name in fields if name in batch.result.fields}
    of_batch, objective = batch.examples.are_batches, batch.examples.objective
    if objective.batches is not None and objective.divisor is not None:
        divisors = json_numbers(objective.batches.denominators)
        warning = b',"%b":%b' % (WARNING.encode(), orjson.dumps(NO_ROWS_COUNT))
        for record in empty_means(batch):
            divisors[record] += warning
        members[DIVISOR] = [divisors]
    if batch.checks:
        members[CHECK] = [[orjson.dumps(_check(c, of_batch=of_batch)) for c in batch.checks]]
    if batch.derivations:
        of_rows = [[_explanation(d) for d in rows] for rows in batch.derivations]
        members[EXPLAIN] = [[orjson.dumps(rows if of_batch else rows[0]) for rows in of_rows]]
    return members


def empty_means(batch: Batch) -> Sequence[int]:
    """Return the records that are a mean of no rows, and get a warning."""
    objective = batch.examples.objective
    if isinstance(batch, Verified) or objective.batches is None or objective.divisor is None:
        return ()
    return np.flatnonzero(objective.batches.denominators == 0).tolist()


def _result(name: str, batch: Computed) -> list[Column]:
    """Return one of the results of each record."""
    block, examples = getattr(batch.result, name), batch.examples
    if name in LOSSES:
        batches = examples.objective.batches
        if not examples.are_batches or (batches and batches.reduced):
            return [json_numbers(block, nan=b'"NaN"')]
        return _lists(block.reshape(len(examples), *examples.outer), infinite=b'"Infinity"')
    if examples.are_batches:
        block = block.reshape(len(examples), *examples.outer, block.shape[-1])
    return _lists(block, infinite=b'"-Infinity"' if name == GRAD_PROBS else None)


def _lists(block: npt.NDArray[np.floating], infinite: bytes | None) -> list[Column]:
    """Return a list of numbers, or of lists of them, for each record.

    `infinite` is what the infinite ones are, if they can have one sign only.
    """
    if infinite is None and not np.isfinite(block).all():
        text = orjson.dumps(writable(block.tolist()))
    else:
        text = orjson.dumps(block, option=orjson.OPT_SERIALIZE_NUMPY)
        if infinite is not None and b"null" in text:
            text = text.replace(b"null", infinite)
    # One text for all records, cut where all brackets of one close and those of the next open.
    depth = block.ndim
    opened, closed = b"[" * (depth - 1), b"]" * (depth - 1)
    return [opened, text[depth:-depth].split(closed + b"," + opened), closed]


def json_numbers(values: npt.NDArray[np.generic], nan: bytes = b"null") -> list[bytes]:
    """Return each number as JSON, infinite ones as strings."""
    texts = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    numbers = texts[1:-1].split(b",")
    for place in np.flatnonzero(~np.isfinite(values)):
        value = float(values[place])
        numbers[place] = nan if math.isnan(value) else orjson.dumps(json_number(value))
    return numbers


def writable(value: float | list[Any]) -> object:
    """Return numbers as JSON can hold them: infinite ones as strings, null for NaN."""
    if isinstance(value, list):
        return [writable(entry) for entry in value]
    return None if math.isnan(value) else json_number(value)


def _check(check: "BatchCheck", *, of_batch: bool) -> dict[str, object]:
    """Return the check of a record."""
    return {
        "passed": check.passed,
        "method": check.rows[0].method,
        GRAD_PROBS: _comparison([row.grad_probs for row in check.rows], of_batch=of_batch),
        GRAD_LOGITS: _comparison([row.grad_logits for row in check.rows], of_batch=of_batch),
    }


def _comparison(rows: "Sequence[Comparison]", *, of_batch: bool) -> dict[str, object]:
    from softgrad_core.checking.comparison import worst_of

    row = worst_of(rows)
    worst = rows[row]
    error = worst.max_relative_error
    return {
        "verdict": worst.verdict,
        "max_relative_error": None if error is None else json_number(error),
        **({"worst_row": row} if of_batch else {}),
        "worst_class": worst.worst_class,
        "uninformative": sum(comparison.uninformative for comparison in rows),
    }


def _explanation(derivation: "Derivation") -> list[dict[str, object]]:
    """Return the steps of a derivation."""
    from softgrad.outputs.mathematics.drawing import draw, draw_words
    from softgrad.outputs.mathematics.latex import Latex
    from softgrad.outputs.mathematics.line import Line

    line, latex = Line(), Latex()

    def case_of(evaluation: "Evaluation") -> dict[str, object]:
        case: dict[str, object] = {}
        if evaluation.index is not None:
            case["class"] = evaluation.index
        if None in derivation.classes and np.ndim(evaluation.right):
            case[CLASSES] = [c for c in derivation.classes if c is not None]
        case["numbers"] = draw(evaluation.numbers, line)
        case["left"] = writable(np.asarray(evaluation.left).tolist())
        case["right"] = writable(np.asarray(evaluation.right).tolist())
        if evaluation.notes:
            case["notes"] = [draw_words(note, line) for note in evaluation.notes]
        return case

    return [
        {
            "part": step.part,
            "title": step.title,
            "rule": draw_words(step.rule, line),
            "formula": draw(step.formula, line),
            "latex": draw(step.formula, latex),
            "cases": [case_of(evaluation) for evaluation in step.evaluations],
        }
        for step in derivation.steps
    ]


def _verdicts(batch: Verified) -> list[Column]:
    """Return the verdicts on the claims of each record."""
    verification = batch.verification
    columns: list[Column] = [
        b'{"passed":',
        [_PASSED[rank] for rank in verification.ranks.tolist()],
        b',"dtype":%b' % orjson.dumps(verification.tolerance.dtype),
    ]
    for name, quantity in verification.quantities.items():
        verdict = _verdict(name, quantity, of_batch=batch.examples.are_batches)
        columns += [b',"%b":{"verdict":' % name.encode(), *verdict, b"}"]
    return [*columns, b"}"]


def _verdict(name: str, quantity: "VerifiedQuantity", *, of_batch: bool) -> list[Column]:
    """Return the verdict on one claim of each record, its worst number, and the mistake."""
    comparison = quantity.comparison
    worst_row, worst_class = quantity.place(comparison.worst)
    errors = comparison.max_error_ulp
    # To the thousandth, unless they are huge.
    errors = np.where(errors < 1e9, np.round(np.minimum(errors, 1e9), 3), errors)
    columns: list[Column] = [
        [_VERDICTS[rank] for rank in comparison.ranks.tolist()],
        b',"max_error_ulp":',
        json_numbers(errors),
        b',"relative_error":',
        json_numbers(comparison.relative_error),
    ]
    if of_batch and (name not in LOSSES or quantity.size > 1):
        columns += [b',"worst_row":', json_numbers(worst_row)]
    if name not in LOSSES:
        columns += [b',"worst_class":', json_numbers(worst_class)]
    columns += [
        b',"expected":',
        json_numbers(comparison.expected),
        b',"got":',
        json_numbers(comparison.got, nan=b'"NaN"'),
    ]
    if name not in LOSSES:
        columns += [b',"uninformative":', json_numbers(comparison.uninformative)]
    if quantity.fits_by_row:
        diagnoses = [b""] * len(errors)
        for row, fits in quantity.fits_by_row.items():
            diagnosis = _diagnosis(fits, quantity.formulas.get(row))
            diagnosis["assert_close"] = bool(comparison.assert_close[row])
            diagnoses[row] = b"," + orjson.dumps(diagnosis)[1:-1]
        columns.append(diagnoses)
    return columns


def _diagnosis(fits: "Sequence[Fit]", formula: str | None) -> dict[str, object]:
    """Return the simplest mistake that gives the numbers, and all if there are several."""
    if not fits:
        return {"mistake": "unknown"}
    names = [fit.mistake.name for fit in fits]
    candidates = {"candidates": names} if len(names) > 1 else {}
    return {"mistake": names[0], "formula": formula, **candidates}
