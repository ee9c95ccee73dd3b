"""The claims of a record: somebody else's numbers, to be verified."""

import math
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain
from types import NoneType
from typing import Any

from softgrad.inputs.records.plain import PLAIN_NUMBERS
from softgrad.inputs.records.values import INFINITIES, are_finite, json_kind
from softgrad.records.fields import CLAIMS, LOSSES, Z_LOSS, Z_LOSS_SCALE
from softgrad_core.errors import InputError, shortened
from softgrad_core.loss.logits import OutOfRange
from softgrad_core.loss.objective import Objective

# fmt: off
_NEAR_CLAIMS = {
    "d_logits", "dlogits", "grad", "grad_a", "grad_input", "grad_logit", "gradLogits",
    "gradient", "gradients", "grads", "log_softmax", "logits.grad", "logits_grad", "logprobs",
    "nll", "prob", "probabilities", "softmax",
}
# fmt: on
"""Names that somebody might give a claim, and that are not read."""

# A claim that is not a number is wrong, not unreadable. Some encoders write NaN as null.
_NOT_FINITE = {**INFINITIES, "NaN": math.nan, None: math.nan}


def claims_of(
    value: dict[str, Any], logits: list[Any], objective: Objective | None
) -> dict[str, list[float]]:
    """Return what a record claims, each quantity as a list, or raise InputError."""
    claims = {}
    for name in CLAIMS:
        if name in value and type(logits[0]) is list:
            claims[name] = _claim_of_batch(name, value[name], logits, objective)
        elif name in value:
            claims[name] = _claim_of_row(name, value[name], len(logits))
    if Z_LOSS in claims and (objective is None or objective.z_scale is None):
        raise InputError(
            "z-loss-unasked",
            f'expected "{Z_LOSS_SCALE}" above 0 beside the claim "{Z_LOSS}", got none',
        )
    if not claims:
        *others, last = (f'"{name}"' for name in CLAIMS)
        hint = "".join(f', got "{near}"' for near in near_claims([value])[:1])
        expected = f"expected a claim to verify, any of {', '.join(others)} and {last}"
        raise InputError("claim-missing", f"{expected}{hint}")
    return claims


def near_claims(values: Iterable[object]) -> list[str]:
    """Return the fields of these records that look like claims and are not read."""
    found: set[str] = set()
    for value in values:
        if isinstance(value, dict) and not _NEAR_CLAIMS.isdisjoint(value):
            found |= _NEAR_CLAIMS.intersection(value)
    return sorted(found)


def _claim_of_row(name: str, claim: Any, classes: int) -> list[float]:
    numbers, count = ([claim], 1) if name in LOSSES else (claim, classes)
    if type(numbers) is not list or len(numbers) != count or isinstance(numbers[0], (list, dict)):
        expected = "a number" if name in LOSSES else f"{count} numbers, one for each logit"
        raise _wrong_shape(name, expected, _shape(claim))
    if set(map(type, numbers)) <= PLAIN_NUMBERS and are_finite(numbers):
        return numbers
    return [_claimed_number(name, place, number) for place, number in enumerate(numbers)]


def _claim_of_batch(
    name: str, claim: Any, logits: list[Any], objective: Objective | None
) -> list[float]:
    """Return the claims about the rows of a batch, one row after another."""
    classes = len(logits[0])
    if name in LOSSES and objective is not None and objective.batches and objective.batches.reduced:
        if type(claim) is list:
            hint = 'a list; with "reduction": "none" each row has its own'
            raise _wrong_shape(name, "a number", hint)
        return _claim_of_row(name, claim, classes)
    if type(claim) is not list or len(claim) != len(logits):
        got = len(claim) if type(claim) is list else json_kind(claim)
        each = "numbers" if name in LOSSES else "lists"
        raise _wrong_shape(name, f"{len(logits)} {each}, one for each row of logits", got)
    try:
        return list(chain.from_iterable(_claim_of_row(name, row, classes) for row in claim))
    except InputError as error:
        raise InputError(error.code, f"{error.reason} (in a batch)") from None


def _wrong_shape(name: str, expected: str, got: object) -> InputError:
    return InputError("claim-shape", f'expected "{name}" to be {expected}, got {got}')


def _shape(claim: object) -> str:
    """Return what a claim of the wrong shape is, for a message."""
    if type(claim) is not list or not claim:
        return json_kind(claim)
    if type(claim[0]) is list:
        return "lists, as for a batch"
    return "a list" if len(claim) == 1 else str(len(claim))


def _claimed_number(name: str, place: int, number: Any) -> float:
    if type(number) in PLAIN_NUMBERS:
        with suppress(OverflowError):
            return float(number)
    if isinstance(number, (str, NoneType)) and number in _NOT_FINITE:
        return _NOT_FINITE[number]
    where = name if name in LOSSES else f"{name}[{place}]"
    got = json_kind(number)
    if type(number) in {int, OutOfRange}:
        got = f"{shortened(str(number))}, which is outside the range of float64"
    raise InputError("claim-not-a-number", f"{where}: expected a number, got {got}")
