"""What goes together: the inputs, formats and options of each command.

These tables are the only place that says so, and the refusals are written from them.
"""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any

from softgrad.exits import UsageError
from softgrad.outputs.formats import Format
from softgrad.records.fields import CLAIMS, LOSS


class Command(StrEnum):
    """The commands that read logits, as they are typed."""

    COMPUTE = "softgrad"
    EXPLAIN = "softgrad explain"
    VERIFY = "softgrad verify"


class Kind(StrEnum):
    """The kinds of input."""

    NUMBERS = "numbers"
    RECORDS = "JSON"
    ARRAYS = "arrays"


_PAGES = (Format.MARKDOWN, Format.PANDOC, Format.LATEX, Format.HTML)
_TABLE_FIRST = (Format.TABLE, Format.JSONL, *_PAGES)
_OF_ARRAYS = (Format.NPZ, Format.SAFETENSORS, Format.PT)
_JSON_FIRST = (Format.JSONL, Format.TABLE, *_PAGES)

FORMATS: Mapping[Command, Mapping[Kind, Collection[Format]]] = {
    Command.COMPUTE: {
        Kind.NUMBERS: _TABLE_FIRST,
        Kind.RECORDS: _JSON_FIRST,
        Kind.ARRAYS: _OF_ARRAYS,
    },
    Command.EXPLAIN: {
        Kind.NUMBERS: _TABLE_FIRST,
        Kind.RECORDS: _JSON_FIRST,
        Kind.ARRAYS: _TABLE_FIRST,
    },
    Command.VERIFY: {
        Kind.NUMBERS: _TABLE_FIRST,
        Kind.RECORDS: _JSON_FIRST,
        Kind.ARRAYS: _TABLE_FIRST,
    },
}
"""The formats in which a command shows an input, the default first."""

_FILES = (Kind.RECORDS, Kind.ARRAYS)

CLAIMED = {name: "claimed_loss" if name == LOSS else name for name in CLAIMS}
"""The settings that hold claims about logits that are arguments; `loss` is that of all options."""

NEEDS: Mapping[Command, Mapping[str, Collection[Format] | Collection[Kind] | str]] = {
    Command.COMPUTE: {
        "standalone": (Format.LATEX,),
        "fields": (Format.JSONL, *_OF_ARRAYS),
        "worker_timeout": "scheduler",
        "output_dir": _FILES,
        "dtype": (Kind.ARRAYS,),
        "axis": (Kind.ARRAYS,),
        "map": _FILES,
        "tolerance": "check",
        "only_failures": "check",
    },
    Command.EXPLAIN: {
        "standalone": (Format.LATEX,),
        "worker_timeout": "scheduler",
        "output_dir": (Kind.RECORDS,),
        "row": (Kind.ARRAYS,),
        "map": _FILES,
        "dtype": (Kind.ARRAYS,),
        "axis": (Kind.ARRAYS,),
    },
    Command.VERIFY: {
        "standalone": (Format.LATEX,),
        "worker_timeout": "scheduler",
        "output_dir": _FILES,
        "map": _FILES,
        "axis": (Kind.ARRAYS,),
        **dict.fromkeys(CLAIMED.values(), (Kind.NUMBERS,)),
    },
}
"""Options that need one of these formats, one of these inputs, or another option."""

EXCLUSIVE = (
    ("output", "output_dir"),
    ("ulp", "rtol"),
    ("ulp", "atol"),
    *(("like", name) for name in ("rtol", "atol", "ulp")),
    *(("arithmetic", name) for name in ("rtol", "atol", "ulp", "like")),
)
"""Options that contradict each other."""


def format_of(command: Command, kind: Kind, asked: Format | None) -> Format:
    """Return the format to write, or raise UsageError if the command does not have it."""
    formats = FORMATS[command].get(kind)
    if formats is None:
        raise UsageError(f"'{command}' reads {' or '.join(FORMATS[command])}, got {kind}")
    default, *_ = formats
    if asked is not None and asked not in formats:
        raise UsageError(f"'{command}' writes {kind} as {', '.join(formats)}, not as {asked}")
    return asked or default


def refuse(command: Command, kind: Kind, shown: Format, settings: Any) -> None:
    """Raise UsageError if an option does not go with the command, the input or the format."""
    given = {name for name, value in vars(settings).items() if value not in (None, False)}
    for name in NEEDS[command].keys() & given:
        needed = NEEDS[command][name]
        if isinstance(needed, str):
            if needed not in given:
                raise UsageError(f"{_option(name)} needs {_option(needed)}")
        elif not {kind, shown} & {*needed} and name in CLAIMED.values():
            option = _option(name)
            raise UsageError(
                f"{option} goes with logits given as arguments, as in softgrad verify 2 1 0.1 -t 0 "
                f"{option} ...; in a file, claims stand beside the logits"
            )
        elif not {kind, shown} & {*needed}:
            what = "--format " if isinstance(next(iter(needed)), Format) else ""
            raise UsageError(f"{_option(name)} needs {what}{' or '.join(needed)}")
    for one, other in EXCLUSIVE:
        if one in given and other in given:
            raise UsageError(f"{_option(one)} and {_option(other)} contradict each other")
    if command is Command.EXPLAIN and kind is Kind.ARRAYS and "row" not in given:
        raise UsageError(f"'{command}' needs --row N, the number of the row to explain, for arrays")


def _option(name: str) -> str:
    name = name.removeprefix("claimed_")
    return f"--{name.replace('_', '-')}"
