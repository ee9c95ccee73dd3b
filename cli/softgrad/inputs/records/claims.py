"""The claims of a record: somebody else's numbers, to be verified."""

import math
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain
from types import NoneType
from typing import Any

from softgrad.inputs.records.plain import PLAIN_NUMBERS
from softgrad.inputs.records.values import INFINITIES, are_finite, json_kind
from softgrad.records.fields import (
    CLAIMS,
    LOSS,
)
from softgrad_core.errors import InputError, shortened
from softgrad_core.loss.logits import OutOfRange
from softgrad_core.loss.objective import Objective

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

# Where a claim is not a number it is wrong, not unreadable; some encoders write NaN as null.
_NOT_FINITE = dict([*INFINITIES.items(), ("NaN", math.nan), (None, math.nan)])


def claims_of(
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
    if set(map(type, numbers)) <= PLAIN_NUMBERS and are_finite(numbers):
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
    if type(number) in PLAIN_NUMBERS:
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
