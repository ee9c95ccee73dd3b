"""Records as they came, and the numbers of records that have one shape."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, Self

import numpy.typing as npt

from softgrad_core.errors import InputError
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import Objective, rows_of


class Block(Protocol):
    """Consecutive records of one source, perhaps still to be parsed."""

    @property
    def size(self) -> int:
        """How many bytes were read for it."""

    def records(self) -> "Rows":
        """Return the records."""


class Rows(Block, Protocol):
    """A block that is parsed: records of JSON, or rows of arrays."""

    def __len__(self) -> int: ...

    @property
    def are_first(self) -> bool:
        """Whether they are the first of their source."""

    def place(self, index: int) -> str:
        """Return where a record is, for messages."""

    def first(self, count: int) -> Self:
        """Return the first `count` records."""


@dataclass(slots=True)
class Records:
    """Consecutive records of one source of JSON, as columns.

    A line is the one on which a record starts, from 1, or None for logits given as arguments. A
    text is valid JSON on one line. A record that could not be read has an empty text, and its
    value is an InputError. `size` is how many bytes were read.
    """

    source: str
    lines: list[int | None] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    size: int = 0

    def __len__(self) -> int:
        return len(self.values)

    @property
    def are_first(self) -> bool:
        """Whether they begin on the first line."""
        return bool(self.lines) and self.lines[0] in {None, 1}

    def add(self, line: int | None, text: bytes, value: Any) -> None:
        """Add a record."""
        self.lines.append(line)
        self.texts.append(text)
        self.values.append(value)

    def add_unreadable(self, line: int | None, error: InputError) -> None:
        """Add a record that could not be read."""
        self.add(line, b"", error.with_traceback(None))

    def records(self) -> "Records":
        """Return the records themselves."""
        return self

    def first(self, count: int) -> "Records":
        """Return the first `count` records."""
        columns = self.lines[:count], self.texts[:count], self.values[:count]
        return Records(self.source, *columns, self.size)

    def place(self, index: int) -> str:
        """Return where a record is, in the form that compilers use."""
        line = self.lines[index]
        return self.source if line is None else f"{self.source}:{line}"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the command line says, for records that leave it out.

    `other` is the class that a derivation shows beside the target.
    """

    target: int | str | list[float] | None = None
    classes: Sequence[str] | None = None
    other: int | str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Examples:
    """Records of one shape, ready to be computed or verified.

    M records of N rows have M * N rows of logits, one record after another. Claims have the shape
    (M, N * C), those about the loss (M, 1), or (M, N) if each row has its own, as the half units of
    their last digits have, if people typed them. `indices` are the
    places of the records in their block, and `others` the classes to show beside the target.
    `outer` is the shape that the rows of a batch are nested in, (N,) or (B, T) with B T = N.
    """

    indices: Sequence[int]
    logits: npt.NDArray[Any]
    objective: Objective
    names: Sequence[list[str] | None]
    others: Sequence[int | None]
    claims: Mapping[str, FloatArray]
    half_units: Mapping[str, FloatArray] = field(default_factory=dict)
    are_batches: bool = False
    outer: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def size(self) -> int:
        """The number of rows of each record."""
        return len(self.logits) // len(self.indices)

    def rows(self, record: int) -> range:
        """Return the rows of a record."""
        return range(record * self.size, (record + 1) * self.size)

    def part(self, records: Sequence[int]) -> "Examples":
        """Return some of the records, in the order given."""
        return Examples(
            [self.indices[record] for record in records],
            self.logits[rows_of(records, self.size)],
            self.objective.of_batches(records),
            [self.names[record] for record in records],
            [self.others[record] for record in records],
            {name: claim[records] for name, claim in self.claims.items()},
            {name: units[records] for name, units in self.half_units.items()},
            self.are_batches,
            self.outer,
        )


class Interpreted(NamedTuple):
    """The good records of a block, in groups of one shape, and the errors of the others by place.

    `near_claims` are fields that look like claims but are not read.
    """

    examples: list[Examples]
    errors: Mapping[int, InputError]
    near_claims: Sequence[str] = ()


def json_number(number: float) -> float | str:
    """Return a number as JSON can hold it: infinities become strings."""
    return number if math.isfinite(number) else str(number).replace("inf", "Infinity")
