"""The arguments of a command, read as logits or as the names of files."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

from softgrad.exits import UsageError
from softgrad_core.errors import shortened

_PLAIN = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
NUMBER = re.compile(rf"{_PLAIN}(?:%|/\d+)?|[+-]?(?:inf|infinity|nan)", re.ASCII | re.IGNORECASE)
"""A number, a percentage such as 20%, or a fraction such as 1/3."""
MOST_DIGITS = 300
"""A longer divisor is none that somebody means."""
NEGATIVE = re.compile(r"-(?:\.?\d|inf|nan)", re.ASCII | re.IGNORECASE)
SEPARATORS = re.compile(r"[\s,;\[\]]+")
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+|[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?", re.ASCII)
"""A comma that may be that of a decimal, or of thousands."""

_CALL = re.compile(
    r"\s*(?:(?:[a-z]\w*\.)*(?:array|asarray|tensor|list|tuple|c))?"
    r"\(\s*(\[.*?\]|[^()=]*?)\s*(?:,\s*[a-z_]+\s*=(?:[^()]|\([^()]*\))*)*,?\s*\)\s*",
    re.DOTALL | re.IGNORECASE,
)
"""What Python shows of a list: (2, 1), array([2., 1.]), tensor([2., 1.], device='cuda:0')."""

_SCALAR = re.compile(r"(?:\w+\.)?b?(?:float|int)\d+\(([^()]*)\)", re.IGNORECASE)
"""What NumPy shows of a number: np.float64(2.0)."""

_FUNCTION = re.compile(r"\b(?:log|ln|exp|sqrt|sin|cos|tan|tanh|pow|abs)\d*\s*[(\d]", re.IGNORECASE)

_FOREIGN_MINUS = re.compile("[\N{MINUS SIGN}\N{EN DASH}\N{HYPHEN}](?=[.0-9])")
# Numbers in a form that is not read, such as (2,1), 0.1.2 and tensor([2, 1]). A word that ends as
# a file's name does is more likely a file.
_LIKE_NUMBERS = re.compile(r"[\s({+-]*\.?\d(?!.*\.[a-z]{2,}$)|.*[\[({=].*\d.*[\])}]\s*$", re.DOTALL)

_LIKE_FILE = re.compile(r"[/\\]|\.[a-z]\w*$", re.ASCII | re.IGNORECASE)


def numbers_or_files(words: list[str]) -> tuple[list[list[float]], list[str]]:
    """Return the words as rows of numbers, or as names of files; the other list is empty.

    Several words are one row. One word may have several lines, as pasted rows have.

    Raises
    ------
    UsageError
        If they are neither, or a mixture.
    """
    if "" in words:
        raise UsageError("expected numbers or files, got an empty argument")
    words = [without_call(word) for word in words]
    are_numbers = [is_number_list(word) for word in words]
    if all(are_numbers):
        _refuse_two_readings(words)
        return _rows(words), []
    odd = words[are_numbers.index(False)]
    plain = with_plain_minus(odd)
    if plain != odd and is_number_list(plain):
        raise UsageError(f"{odd!r} has a typographic minus sign; write {plain}")
    if any(are_numbers) and not _LIKE_FILE.search(odd) and not Path(odd).exists():
        raise UsageError(f"expected numbers, got {odd!r}{_hint_for(odd)}")
    if any(are_numbers):
        number = words[are_numbers.index(True)]
        raise UsageError(
            f"expected numbers or files, got both: {number!r} is a number, but {odd!r} is not"
        )
    for word in words:
        if _FUNCTION.search(word) and not Path(word).exists():
            raise UsageError(f"{shortened(word)!r} is not computed; write the number")
        if _LIKE_NUMBERS.match(word) and not Path(word).exists():
            raise UsageError(
                f"{shortened(word)!r} is neither a file nor numbers; separate numbers with blanks "
                "or commas, as in 2.0,-1.0,0.1"
            )
    return [], words


def _hint_for(word: str) -> str:
    """Return what a word among numbers may be, for a message."""
    if "," in word:
        return '; names with blanks need quotes, as in --classes "big cat,dog"'
    if word.isalpha():
        return "; the names of classes are one argument, as in --classes cat,dog"
    return ""


def without_call(word: str) -> str:
    """Return the numbers in what Python shows of a list, a tuple, an array or a tensor."""
    plain = _SCALAR.sub(r"\1", word)
    call = _CALL.fullmatch(plain)
    inner = call[1] if call else plain
    if not is_number_list(inner):
        return word
    while re.fullmatch(r"\s*\[\s*\[[^\[\]]*\]\s*\]\s*", inner):
        inner = inner.strip()[1:-1].strip()
    return inner


def _refuse_two_readings(words: list[str]) -> None:
    """Raise UsageError if a comma may be that of a decimal."""
    lines = words[0].splitlines() if len(words) == 1 else [" ".join(words)]
    for line in lines:
        for word, readings in with_two_readings(re.split(r"[;\s]+", line.strip(" []\t;"))):
            raise UsageError(f"{word!r} {readings}")


def with_two_readings(words: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the words of a row whose comma may be that of a decimal, and their readings."""
    for word in words if len(words) > 1 else ():
        if DECIMAL_COMMA.fullmatch(word):
            number = word.replace(",", "") if "." in word else word.replace(",", ".", 1)
            number = number.replace(",", "")
            parts = word.split(",")
            yield (
                word,
                f"may be {number}, or {'two' if len(parts) == 2 else 'several'} logits "
                f"{' and '.join(parts)}: write {number}, or separate logits with blanks",
            )


def _lines(word: str) -> list[str]:
    """Return the rows of a word: those of a list of lists, of a matrix of MATLAB, or its lines."""
    if word.count("[") > 1 and word.count("[") == word.count("]"):
        return re.findall(r"\[([^\[\]]*)\]", word)
    inner = word.strip().removeprefix("[").removesuffix("]")
    if ";" in inner and all(len(part.split()) > 1 for part in inner.split(";") if part.strip()):
        return [part for part in inner.split(";") if part.strip()]
    return [line for line in word.splitlines() if line.strip()] if "[" not in word else [word]


def _rows(words: list[str]) -> list[list[float]]:
    """Return one row of all words, or a row for each line of the only one."""
    lines = _lines(words[0])
    counts = {len([part for part in SEPARATORS.split(line) if part]) for line in lines}
    if len(words) > 1 or len(lines) < 2 or 1 in counts:
        return [parse_numbers(" ".join(words))]
    if len(counts) > 1:
        few, many = min(counts), max(counts)
        raise UsageError(
            f"lines of {few} to {many} numbers may be one row, or several: write one row on one "
            "line, and rows of one length on a line each"
        )
    return list(map(parse_numbers, lines))


def number_of(word: str) -> float:
    """Return a number, a percentage or a fraction, as `NUMBER` matches it.

    Examples
    --------
    >>> number_of("20%"), number_of("1/4"), number_of("-1e-5")
    (0.2, 0.25, -1e-05)
    """
    number, divisor = word.rstrip("%"), ""
    if "/" in word:
        number, _, divisor = word.partition("/")
    value = float(number)
    if divisor and not divisor.strip("0"):
        raise UsageError(f"{word} divides by 0")
    # Exact arithmetic with an exponent of many digits would not end.
    if number == word or value == 0.0 or not math.isfinite(value):
        return value
    # Few numbers are written so, and these modules take time to import.
    from decimal import Decimal
    from fractions import Fraction

    if not divisor:
        return float(Decimal(number) / 100)
    if len(divisor) > MOST_DIGITS:
        raise UsageError(f"{shortened(word)} divides by a number outside the range of float64")
    return float(Fraction(Decimal(number)) / int(divisor))


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
        is_one = (inner.count("["), inner.count("]")) == (1, 1)
        if not (is_one and inner.startswith("[") and inner.endswith("]")):
            raise UsageError(f"expected one list of numbers, got {text!r}")
        inner = inner[1:-1]
    if not inner.strip():
        raise UsageError(f"expected numbers, got none in {text!r}")
    parts = [part.split() for part in re.split("[,;]", inner)]
    if not parts[-1]:
        parts.pop()
    if not all(parts):
        raise UsageError(f"expected a number between all commas, got {text!r}")
    words = [word for part in parts for word in part]
    for word in words:
        if "inf" not in word.lower() and math.isinf(number_of(word)):
            raise UsageError(f"{shortened(word)} is outside the range of float64")
    return [number_of(word) for word in words]
