"""Words of the command line: numbers or files, negative numbers, targets and class names."""

import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import typer
from typer.core import TyperCommand

from softgrad_core.checking import CHECK_TOLERANCE
from softgrad_core.dtypes import Dtype
from softgrad_core.errors import InputError, shortened
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import (
    check_ignore_index,
    check_reduction,
    check_smoothing,
    check_temperature,
    check_weights,
    weights_by_name,
)
from softgrad_core.loss.results import check_fields
from softgrad_core.loss.targets import class_index
from softgrad_core.verification.tolerances import Tolerance

ARRAY_SUFFIXES = (".npy", ".npz")

_NUMBER = re.compile(
    r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?(?:inf|infinity|nan)", re.ASCII | re.IGNORECASE
)
_NEGATIVE = re.compile(r"-(?:\.?\d|inf|nan)", re.ASCII | re.IGNORECASE)
_HIDDEN_NEGATIVE = re.compile(rf" (?={_NEGATIVE.pattern})", re.ASCII | re.IGNORECASE)
_SEPARATORS = re.compile(r"[\s,\[\]]+")
_FOREIGN_MINUS = re.compile("[\N{MINUS SIGN}\N{EN DASH}\N{HYPHEN}](?=[.0-9])")
# Numbers in a form that is not read, such as (2,1), 0.1.2 and tensor([2, 1]); a name with an
# ending is rather that of a file.
_LIKE_NUMBERS = re.compile(r"[\s({+-]*\.?\d(?!.*\.[a-z]{2,}$)|.*[\[({=].*\d.*[\])}]\s*$", re.DOTALL)

LONGEST_INDEX = 18


class NumbersCommand(TyperCommand):
    """A command whose arguments may be negative numbers, which are no options.

    Its help is broken where the screen ends, not where the lines of its docstring do.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.help = re.sub(r"(?<!\n)\n(?!\n)", " ", self.help or "")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Hide the minus of negative numbers behind a blank while the words are parsed."""
        rest = super().parse_args(ctx, [f" {a}" if _NEGATIVE.match(a) else a for a in args])
        for name, value in ctx.params.items():
            if isinstance(value, str):
                ctx.params[name] = _as_typed(value)
            elif isinstance(value, list):
                ctx.params[name] = [_as_typed(word) for word in value]
        return rest


def _as_typed(word: str) -> str:
    return word[1:] if _HIDDEN_NEGATIVE.match(word) else word


def _as_text(word: str) -> str:
    """Return a word as text that can be written as JSON, whatever the locale says it is."""
    try:
        return os.fsencode(word).decode().strip()
    except UnicodeDecodeError:
        raise typer.BadParameter(f"expected text in UTF-8, got {word!r}") from None


def numbers_or_files(words: list[str]) -> tuple[list[float], list[str]]:
    """Return the arguments as logits, or as names of files; the other list is empty."""
    if "" in words:
        raise typer.BadParameter("expected numbers or files, got an empty argument")
    are_numbers = [_is_number_list(word) for word in words]
    if all(are_numbers):
        return parse_numbers(" ".join(words)), []
    odd = words[are_numbers.index(False)]
    plain = _FOREIGN_MINUS.sub("-", odd)
    if plain != odd and _is_number_list(plain):
        raise typer.BadParameter(f"{odd!r} has a typographic minus sign; write {plain}")
    if any(are_numbers):
        number = words[are_numbers.index(True)]
        raise typer.BadParameter(
            f"expected numbers or files, got both: {number!r} is a number, but {odd!r} is not"
        )
    for word in words:
        if _LIKE_NUMBERS.match(word) and not Path(word).exists():
            raise typer.BadParameter(
                f"{shortened(word)!r} is neither a file nor numbers; write numbers with blanks "
                "or commas between them, such as 2.0,-1.0,0.1"
            )
    return [], words


def are_arrays(files: list[str]) -> bool:
    """Return whether files are of NumPy's; some and others are an error."""
    of_arrays = [name for name in files if name.endswith(ARRAY_SUFFIXES)]
    if of_arrays and len(of_arrays) < len(files):
        other = next(name for name in files if name not in of_arrays)
        raise typer.BadParameter(f"expected arrays or JSON, got {of_arrays[0]!r} and {other!r}")
    return bool(of_arrays)


def _is_number_list(word: str) -> bool:
    return all(_NUMBER.fullmatch(part) for part in _SEPARATORS.split(word) if part)


def parse_numbers(text: str) -> list[float]:
    """Return a list of numbers written with blanks, commas and at most one pair of brackets."""
    inner = text.strip()
    if "[" in inner or "]" in inner:
        if not (inner.startswith("[") and inner.endswith("]")) or inner.count("[") > 1:
            raise typer.BadParameter(f"expected one list of numbers, got {text!r}")
        inner = inner[1:-1]
    if not inner.strip():
        raise typer.BadParameter(f"expected numbers, got none in {text!r}")
    parts = [part.split() for part in inner.split(",")]
    if not parts[-1]:
        parts.pop()
    if not all(parts):
        raise typer.BadParameter(f"expected a number between all commas, got {text!r}")
    words = [word for part in parts for word in part]
    for word in words:
        if math.isinf(float(word)) and word[-1].isdigit():
            raise typer.BadParameter(f"{word} is outside the range of float64")
    return [float(word) for word in words]


def parse_classes(text: str | None) -> list[str] | None:
    """Return the class names of a list with commas, or of one in JSON."""
    if text is None:
        return None
    names: list[Any]
    try:
        names = orjson.loads(text) if text.lstrip().startswith("[") else _as_text(text).split(",")
        names = [name.strip() for name in names]
    except (AttributeError, ValueError):
        raise typer.BadParameter(f"expected a list of class names, got {text!r}") from None
    if not all(names):
        raise typer.BadParameter(f"expected class names between commas, got none in {text!r}")
    return names


def parse_class(option: str, text: str | None, names: list[str] | None) -> int | str | None:
    """Return the class of an option: as a name where it is one, else as an index."""
    if text is None:
        return None
    text = _as_text(text)
    is_index = re.fullmatch(r"[+-]?\d+", text, re.ASCII) is not None
    if is_index and len(text) > LONGEST_INDEX:
        raise typer.BadParameter(f"expected {option} to be a class, got {shortened(text)}")
    if names is None or text not in names:
        if is_index:
            return int(text)
        plain = _FOREIGN_MINUS.sub("-", text)
        if _NUMBER.fullmatch(plain):
            raise typer.BadParameter(
                f"expected {option} to be a whole number or a class name, got {text!r}"
            )
        return text
    if is_index and names.index(text) != int(text):
        raise typer.BadParameter(
            f"{text!r} is ambiguous: the name of class {names.index(text)}, and an index"
        )
    return text


def parse_target(text: str | None, names: list[str] | None) -> int | str | list[float] | None:
    """Return a target: a class, or a list of numbers with commas."""
    if text is not None and "," in text and _is_number_list(text):
        return [_as_written(word) for word in _SEPARATORS.split(text.strip("[] \t,"))]
    return parse_class("--target", text, names)


def _as_written(word: str) -> float:
    """Return a number, a whole one as an int."""
    index = _index_or_text(word)
    return float(word) if isinstance(index, str) else index


def parse_options(
    given: Mapping[str, str | bool | None], names: list[str] | None
) -> dict[str, Any]:
    """Return the options of the loss that are given, by the names of their record fields."""
    options: dict[str, Any] = {}
    for name, text in given.items():
        if isinstance(text, str):
            try:
                options[name] = _PARSERS[name](text, names)
            except InputError as error:
                raise typer.BadParameter(error.reason) from None
        elif text:
            options[name] = text
    return options


def _parse_weights(text: str, names: list[str] | None) -> list[float]:
    """Return the weights of the classes, given in their order or by name: cat=2,dog=1."""
    if "=" not in text:
        weights = [_number_or_text(word) for word in _SEPARATORS.split(text) if word]
        return _floats(check_weights(weights, None if names is None else len(names)))
    given: dict[str, float | str] = {}
    for part in _as_text(text).split(","):
        name, _, number = part.rpartition("=")
        if name.strip() in given:
            raise typer.BadParameter(f"--class-weights gives {name.strip()!r} twice")
        given[name.strip()] = _number_or_text(number.strip())
    return _floats(check_weights(weights_by_name(given, names)))


def _floats(weights: FloatArray) -> list[float]:
    numbers: list[float] = weights.tolist()
    return numbers


def _number_or_text(word: str) -> float | str:
    return float(word) if _NUMBER.fullmatch(word) else word


def _index_or_text(word: str) -> int | str:
    return int(word) if re.fullmatch(r"[+-]?\d{1,18}", word, re.ASCII) else word


_PARSERS: dict[str, Callable[[str, list[str] | None], object]] = {
    "label_smoothing": lambda text, _: check_smoothing(_number_or_text(text)),
    "class_weights": _parse_weights,
    "ignore_index": lambda text, _: check_ignore_index(_index_or_text(text)),
    "temperature": lambda text, _: check_temperature(_number_or_text(text)),
    "reduction": lambda text, _: check_reduction(text),
}


def parse_tolerance(text: str | None, *, check: bool) -> float | None:
    """Return the tolerance of the check, a number above 0, or None where none is asked for."""
    if text is None:
        return CHECK_TOLERANCE if check else None
    if not check:
        raise typer.BadParameter("--tolerance needs --check")
    value = _as_number(text)
    if not 0 < value < math.inf:
        raise typer.BadParameter(f"expected --tolerance to be a number above 0, got {text!r}")
    return value


def parse_requirement(
    dtype: Dtype | None,
    rtol: str | None,
    atol: str | None,
    ulp: str | None,
    *,
    verify: bool,
) -> Tolerance | None:
    """Return what claims are held to, or None where nothing is to be verified."""
    options = {"--dtype": dtype, "--rtol": rtol, "--atol": atol, "--ulp": ulp}
    given = [name for name, value in options.items() if value is not None]
    if not verify:
        if given:
            raise typer.BadParameter(f"{given[0]} needs --verify")
        return None
    if ulp is not None and (rtol is not None or atol is not None):
        raise typer.BadParameter("--ulp leaves no other slack: give it without --rtol and --atol")
    return Tolerance(
        dtype or Dtype.FLOAT64,
        *(
            None if text is None else _non_negative(name, text)
            for name, text in (("--rtol", rtol), ("--atol", atol), ("--ulp", ulp))
        ),
    )


def parse_fields(text: str | None, *, verify: bool) -> tuple[str, ...]:
    """Return the names of the results that are asked for: all where nothing is said of them."""
    if text is not None and verify:
        raise typer.BadParameter("--fields is of results; --verify takes the claims that are there")
    try:
        return check_fields(None if text is None else [name for name in text.split(",") if name])
    except InputError as error:
        raise typer.BadParameter(f"--fields: {error.reason}") from None


def parse_array_target(text: str | None, names: list[str] | None) -> int | str | None:
    """Return the target of all rows of arrays: a class, or the file that has them."""
    if text is None or text.endswith(ARRAY_SUFFIXES):
        return text
    target = parse_class("--target", text, names)
    try:
        return target if isinstance(target, int) else class_index(target, len(names or ()), names)
    except InputError:
        raise typer.BadParameter(
            f"expected --target to be a class or a .npy file for arrays, got {text!r}"
        ) from None


def _non_negative(option: str, text: str) -> float:
    value = _as_number(text)
    if not 0 <= value < math.inf:
        raise typer.BadParameter(f"expected {option} to be a number from 0 on, got {text!r}")
    return value + 0.0


def _as_number(text: str) -> float:
    return float(text) if _NUMBER.fullmatch(text) else math.nan
