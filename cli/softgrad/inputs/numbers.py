"""The arguments of a command, read as logits or as the names of files."""

import math
import re
from pathlib import Path

from softgrad.exits import UsageError
from softgrad_core.errors import shortened

NUMBER = re.compile(
    r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?(?:inf|infinity|nan)", re.ASCII | re.IGNORECASE
)
NEGATIVE = re.compile(r"-(?:\.?\d|inf|nan)", re.ASCII | re.IGNORECASE)
SEPARATORS = re.compile(r"[\s,\[\]]+")

_FOREIGN_MINUS = re.compile("[\N{MINUS SIGN}\N{EN DASH}\N{HYPHEN}](?=[.0-9])")
# Numbers in a form that is not read, such as (2,1), 0.1.2 and tensor([2, 1]). A word that ends as
# a file's name does is more likely a file.
_LIKE_NUMBERS = re.compile(r"[\s({+-]*\.?\d(?!.*\.[a-z]{2,}$)|.*[\[({=].*\d.*[\])}]\s*$", re.DOTALL)


def numbers_or_files(words: list[str]) -> tuple[list[float], list[str]]:
    """Return the words as numbers, or as names of files; the other list is empty.

    Raises
    ------
    UsageError
        If they are neither, or a mixture.
    """
    if "" in words:
        raise UsageError("expected numbers or files, got an empty argument")
    are_numbers = [is_number_list(word) for word in words]
    if all(are_numbers):
        return parse_numbers(" ".join(words)), []
    odd = words[are_numbers.index(False)]
    plain = with_plain_minus(odd)
    if plain != odd and is_number_list(plain):
        raise UsageError(f"{odd!r} has a typographic minus sign; write {plain}")
    if any(are_numbers):
        number = words[are_numbers.index(True)]
        raise UsageError(
            f"expected numbers or files, got both: {number!r} is a number, but {odd!r} is not"
        )
    for word in words:
        if _LIKE_NUMBERS.match(word) and not Path(word).exists():
            raise UsageError(
                f"{shortened(word)!r} is neither a file nor numbers; separate numbers with blanks "
                "or commas, as in 2.0,-1.0,0.1"
            )
    return [], words


def is_number_list(word: str) -> bool:
    """Return whether a word has only numbers, separators and brackets."""
    return all(NUMBER.fullmatch(part) for part in SEPARATORS.split(word) if part)


def with_plain_minus(word: str) -> str:
    """Return a word with hyphens instead of typographic minus signs."""
    return _FOREIGN_MINUS.sub("-", word)


def parse_numbers(text: str) -> list[float]:
    """Return numbers written with blanks, commas and at most one pair of brackets.

    Raises
    ------
    UsageError
        If they are not one list of numbers within the range of float64.
    """
    inner = text.strip()
    if "[" in inner or "]" in inner:
        if not (inner.startswith("[") and inner.endswith("]")) or inner.count("[") > 1:
            raise UsageError(f"expected one list of numbers, got {text!r}")
        inner = inner[1:-1]
    if not inner.strip():
        raise UsageError(f"expected numbers, got none in {text!r}")
    parts = [part.split() for part in inner.split(",")]
    if not parts[-1]:
        parts.pop()
    if not all(parts):
        raise UsageError(f"expected a number between all commas, got {text!r}")
    words = [word for part in parts for word in part]
    for word in words:
        if math.isinf(float(word)) and word[-1].isdigit():
            raise UsageError(f"{word} is outside the range of float64")
    return [float(word) for word in words]
