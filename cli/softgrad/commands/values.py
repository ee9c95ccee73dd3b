"""The text of options, turned into values or into a usage error that says what was expected."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import orjson

from softgrad.exits import UsageError
from softgrad.inputs.numbers import (
    DECIMAL_COMMA,
    NUMBER,
    SEPARATORS,
    is_number_list,
    number_of,
    with_plain_minus,
    without_call,
)
from softgrad.messages import say
from softgrad.outputs.formats import Format
from softgrad.records.fields import CLAIMS, LOGITS, LOSSES, TARGET
from softgrad.records.records import json_number
from softgrad_core.dtypes import Dtype
from softgrad_core.errors import InputError, shortened
from softgrad_core.loss.options import OPTIONS, LossOptions, weights_by_name
from softgrad_core.verification.tolerances import Like

Word = TypeVar("Word", Format, Dtype, Like)

LONGEST_INDEX = 18
"""More digits than this cannot be the index of a class."""


def parse_classes(text: str | None) -> list[str] | None:
    """Return the names in a list with commas, or in a JSON list."""
    if text is None:
        return None
    names: list[Any]
    try:
        is_list = text.lstrip().startswith("[")
        # Python writes a list of names with single quotes.
        json = text if '"' in text else text.replace("'", '"')
        names = orjson.loads(json) if is_list else _as_utf8(text).split(",")
        names = [name.strip() for name in names]
    except (AttributeError, ValueError):
        raise UsageError(f"expected a list of class names, got {text!r}") from None
    if not all(names):
        raise UsageError(f"expected class names between commas, got none in {text!r}")
    return names


def parse_class(option: str, text: str | None, names: list[str] | None) -> int | str | None:
    """Return a class: a name if there is one like this, else an index."""
    if text is None:
        return None
    text = _as_utf8(text)
    is_index = re.fullmatch(r"[+-]?\d+", text, re.ASCII) is not None
    if is_index and len(text) > LONGEST_INDEX:
        raise UsageError(f"expected {option} to be a class, got {shortened(text)}")
    if names is not None and text in names:
        place = names.index(text)
        if is_index and place != int(text):
            say(f"softgrad: {option} {text} is the name of class {place}, not the index {text}")
        return text
    if not is_index and NUMBER.fullmatch(with_plain_minus(text)):
        raise UsageError(f"expected {option} to be a whole number or a class name, got {text!r}")
    return int(text) if is_index else text


def parse_target(text: str | None, names: list[str] | None) -> int | str | list[float] | None:
    """Return a target: a class, or the probabilities of all classes."""
    text = text and without_call(text)
    if text is not None and re.search(r"[,\s]", text.strip()) and is_number_list(text):
        words = [word for word in SEPARATORS.split(text) if word]
        return [int(word) if _is_index(word) else number_of(word) for word in words]
    return parse_class("--target", text, names)


def parse_loss(given: Mapping[str, str | bool], names: list[str] | None) -> dict[str, Any]:
    """Return the options of the loss that are given, each checked by its entry in the table."""
    hints = get_type_hints(LossOptions)
    options: dict[str, Any] = {}
    for name, text in given.items():
        try:
            value = text if isinstance(text, bool) else _read(text, hints[name], names)
            checked = OPTIONS[name].check(value)
        except InputError as error:
            raise UsageError(as_typed(error.reason)) from None
        options[name] = checked.tolist() if hasattr(checked, "tolist") else checked
    count = len(options.get("class_weights", ()))
    if names is not None and "class_weights" in options and count != len(names):
        expected = f"expected one of class_weights for each of {len(names)} logits"
        raise UsageError(f"{expected}, got {count}")
    return options


def _read(text: str, hint: Any, names: Sequence[str] | None) -> Any:
    """Return a text as a value of the type that an option is declared with."""
    types = get_args(hint) or (hint,)
    if int in types and float not in types:
        return int(text) if _is_index(text) else text
    if types[0] is float:
        return _number_or_text(text)
    if types == (str,):
        return text
    # What is left is the weights of the classes, in their order or by name: cat=2,dog=1.
    if "=" not in text:
        return [_number_or_text(word) for word in SEPARATORS.split(text) if word]
    given: dict[str, float | str] = {}
    for part in _as_utf8(text).split(","):
        name, _, number = part.rpartition("=")
        if name.strip() in given:
            raise UsageError(f"--class-weights gives {name.strip()!r} twice")
        given[name.strip()] = _number_or_text(number.strip())
    return weights_by_name(given, names)


def as_written(name: str, text: str) -> bytes:
    """Return a claim that was typed as JSON, with all the digits that it was typed with."""
    option = f"--{name.replace('_', '-')}"
    plain = without_call(with_plain_minus(text))
    words = [word for word in SEPARATORS.split(plain) if word]
    if not words or not all(NUMBER.fullmatch(word) for word in words):
        raise UsageError(f"expected {option} to be numbers separated by commas, got {text!r}")
    numbers = list(map(_digits_of, words))
    if name in LOSSES:
        if len(numbers) > 1:
            hint = f"; write {'.'.join(words)}" if DECIMAL_COMMA.fullmatch(plain) else ""
            raise UsageError(f"expected {option} to be one number, got {text!r}{hint}")
        return numbers[0].encode()
    return f"[{','.join(numbers)}]".encode()


def _digits_of(word: str) -> str:
    """Return a number as JSON, with the digits that it was typed with."""
    value = number_of(word)
    if word[-1] in "0123456789.%" and math.isinf(value):
        raise UsageError(f"{shortened(word)} is outside the range of float64")
    if "/" in word or not math.isfinite(value):
        return orjson.dumps("NaN" if math.isnan(value) else json_number(value)).decode()
    # A zero has its digits only where it is written out: 0e-999999999 has many.
    if value == 0.0 and "e" in word.lower():
        return "0.0"
    from decimal import Decimal

    return f"{Decimal(word[:-1]).scaleb(-2) if word.endswith('%') else Decimal(word):f}"


def parse_number(option: str, text: str | None, *, above_zero: bool = False) -> float | None:
    """Return a finite number from 0 on, or above 0."""
    if text is None:
        return None
    value = number_of(text) if NUMBER.fullmatch(text) else math.nan
    if not (0 < value < math.inf if above_zero else 0 <= value < math.inf):
        wanted = "above 0" if above_zero else "from 0 on"
        raise UsageError(f"expected {option} to be a number {wanted}, got {text!r}")
    return value + 0.0


def parse_count(option: str, text: str | None) -> int | None:
    """Return a whole number from 0 on."""
    if text is not None and not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise UsageError(f"expected {option} to be a whole number from 0 on, got {text!r}")
    return None if text is None else int(text)


_OF_ENDING = {
    ".html": Format.HTML,
    ".tex": Format.LATEX,
    ".md": Format.MARKDOWN,
    ".jsonl": Format.JSONL,
    ".txt": Format.TABLE,
    ".npz": Format.NPZ,
    ".safetensors": Format.SAFETENSORS,
    ".pt": Format.PT,
    ".pth": Format.PT,
}
_NOT_WRITTEN = {".svg", ".pdf", ".png", ".csv", ".tsv", ".docx", ".xlsx", ".npy", ".h5", ".parquet"}


def parse_format(text: str | None, *, json: bool, output: str | None) -> Format | None:
    """Return the format that is asked for, if any: by name, or by the ending of the output."""
    ending = Path(output or "").suffix.lower()
    if text is None and not json and ending in _NOT_WRITTEN:
        raise UsageError(f"softgrad writes no {ending} files; it writes {', '.join(_OF_ENDING)}")
    if text is None and not json:
        return format_of_ending(output or "")
    if json and text not in {None, Format.JSONL}:
        raise UsageError(f"--json and --format {text} contradict each other")
    return Format.JSONL if json else parse_word("--format", text, Format)


def format_of_ending(name: str) -> Format | None:
    """Return the format that the ending of a file's name stands for, if any."""
    return _OF_ENDING.get(Path(name).suffix.lower())


def ending_of(shown: Format) -> str:
    """Return the ending of files of a format; Pandoc's are Markdown as well."""
    return next((ending for ending, other in _OF_ENDING.items() if other is shown), ".md")


def ending_beside(file: str, shown: Format) -> str:
    """Return the ending of the results of a file: its own, if files of the format may have it."""
    own, of_own = Path(file).suffix, format_of_ending(file)
    is_json = shown is Format.JSONL and of_own is None and own.lower() not in _NOT_WRITTEN
    return own if is_json or of_own is shown else ending_of(shown)


def parse_axis(text: str | None) -> int:
    """Return the number of an axis, which is the last if none is given."""
    if text is None:
        return -1
    if re.fullmatch(r"-?\d{1,3}", text, re.ASCII) is None:
        raise UsageError(f"expected --axis to be a whole number, got {text!r}")
    return int(text)


def parse_map(text: str | None) -> dict[str, str]:
    """Return the names that arrays have in files, by those that they have here."""
    names: dict[str, str] = {}
    known = (LOGITS, TARGET, *CLAIMS, *OPTIONS)
    for part in text.split(",") if text else ():
        ours, _, theirs = part.partition("=")
        if not theirs or ours not in known:
            expected = f"expected --map to be NAME=ARRAY, NAME out of {', '.join(known)}"
            raise UsageError(f"{expected}; got {part!r}")
        names[ours] = theirs
    return names


def parse_word(option: str, text: str | None, words: type[Word]) -> Word | None:
    """Return one of some words, if any is given."""
    if text is not None and text not in list(words):
        raise UsageError(f"expected {option} to be one of {', '.join(words)}, got {text!r}")
    return None if text is None else words(text)


def as_typed(reason: str) -> str:
    """Return a message of the core with the options named as they are typed."""
    for name in OPTIONS:
        if "_" in name:
            reason = re.sub(rf"\b(an? )?{name}\b", f"--{name.replace('_', '-')}", reason)
    for name in CLAIMS:
        reason = reason.replace(f'"{name}"', f"--{name.replace('_', '-')}")
    return reason


def _as_utf8(word: str) -> str:
    """Return a word as text that JSON can hold, whatever the locale is."""
    try:
        return os.fsencode(word).decode().strip()
    except UnicodeDecodeError:
        raise UsageError(f"expected text in UTF-8, got {word!r}") from None


def _is_index(word: str) -> bool:
    return re.fullmatch(r"[+-]?\d{1,18}", word, re.ASCII) is not None


def _number_or_text(word: str) -> float | str:
    if re.fullmatch(r"\d+,\d+", word, re.ASCII):
        raise UsageError(f"expected a number, got {word!r}; write {word.replace(',', '.')}")
    return number_of(word) if NUMBER.fullmatch(word) else word
