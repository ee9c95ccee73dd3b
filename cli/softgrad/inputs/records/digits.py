"""Claims that were typed with few digits: each may be off by half a unit of its last digit."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

from softgrad.records.fields import CLAIMS
from softgrad_core.loss.logits import FloatArray

MOST_DIGITS = 6
"""More significant digits than this are a machine's."""

FINENESS = 1024
"""Numbers that are all multiples of 1 over this are exact results, such as 0, 1 and 0.5."""


def may_be_typed(claims: Iterable[FloatArray]) -> bool:
    """Return whether in some record no claim has a number with more digits than people type."""
    arrays = list(claims)
    # Nearly always the first number shows that a machine wrote it.
    first = np.all([_have_few_digits(claim[:, :1]) for claim in arrays], axis=0)
    if not first.any():
        return False
    return bool(np.all([_have_few_digits(claim[first]) for claim in arrays], axis=0).any())


def _have_few_digits(numbers: FloatArray) -> np.ndarray[Any, np.dtype[np.bool]]:
    size = np.abs(numbers)
    with np.errstate(all="ignore"):
        scaled = size * 10.0 ** (MOST_DIGITS - 1 - np.floor(np.log10(size)))
        few = np.abs(scaled - np.rint(scaled)) <= 1e-9 * scaled
    return np.asarray((few | (size == 0.0)).all(axis=1))


class _Written(str):
    """A number of a record, as it is written."""

    __slots__ = ()


def half_units(
    text: bytes, value: Mapping[str, Any], *, by_hand: bool
) -> dict[str, list[float]] | None:
    """Return half a unit of the last digit of each claimed number, or None if a machine wrote them.

    Trailing zeros count: 0.6590 has four decimals. A 0 or 1 without decimals is exact, unless it
    stands beside fractions. Claims that were typed `by_hand` need no more than few digits.
    """
    names = [name for name in CLAIMS if name in value]
    written = json.loads(text, parse_float=_Written, parse_int=_Written)
    # A null or "Infinity" is wrong or right, whatever the digits of the others are.
    claims = {
        name: [text if isinstance(text, _Written) else "0" for text in _flat(written[name])]
        for name in names
    }
    try:
        numbers = {name: [Decimal(number) for number in claim] for name, claim in claims.items()}
    except InvalidOperation:
        # An exponent that Decimal does not hold is none that people type.
        return None
    every = [number for claim in numbers.values() for number in claim]
    if any(_has_many_digits(number) for number in every):
        return None
    units = {name: _half_units(claim) for name, claim in numbers.items()}
    if by_hand:
        return units if any(unit for claim in units.values() for unit in claim) else None
    rounded = sum(_exponent(number) != 0 for number in every)
    # A loss, or dL/df(x), has one number that is not 0; a gradient may have others that round to 1.
    one_each = all(sum(not _is_bare(number) for number in claim) <= 1 for claim in numbers.values())
    if rounded < (1 if one_each else 2):
        return None
    has_zeros = any(_ends_in_zero(number) for claim in claims.values() for number in claim)
    if not has_zeros and all(
        _exponent(number) <= 0 and number * FINENESS % 1 == 0 for number in every
    ):
        return None
    return units


def _has_many_digits(number: Decimal) -> bool:
    """Return whether a number has more digits than people type, or is larger than they mean."""
    return len(number.as_tuple().digits) > MOST_DIGITS or number.adjusted() > MOST_DIGITS


def _flat(claim: Any) -> Iterator[Any]:
    if isinstance(claim, list):
        for part in claim:
            yield from _flat(part)
    else:
        yield claim


def _ends_in_zero(text: str) -> bool:
    """Return whether a number has a last decimal that a machine leaves out, as 0.50 has."""
    return re.search(r"\.\d+0$", text) is not None


def _exponent(number: Decimal) -> int:
    return int(number.as_tuple().exponent)


def _half_units(claim: list[Decimal]) -> list[float]:
    fractions = [number for number in claim if _exponent(number) < 0]
    # Who writes 1.002 with 3 digits, or 0.0001 with 3 decimals, may leave out the zeros of 1 and 0.
    finest = min(map(_exponent, fractions), default=None)
    digits = max((len(number.as_tuple().digits) for number in fractions), default=0)
    of_one = 1 - digits if fractions else None
    return [
        _half_of((of_one if number else finest) if _is_bare(number) else _exponent(number))
        for number in claim
    ]


def _is_bare(number: Decimal) -> bool:
    return _exponent(number) == 0 and abs(number) <= 1


def _half_of(exponent: int | None) -> float:
    """Return half a unit of the digit that counts ten to the exponent, and 0 for None."""
    return 0.0 if exponent is None else float(Decimal((0, (5,), exponent - 1)))
