"""Tables of cases that run through the library and through the command."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

_FOLDER = Path(__file__).parent.parent / "cases"


def table(name: str) -> list[Any]:
    """Return the cases of a table as named parameters for a test."""
    lines = (_FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [pytest.param(case, id=case["name"]) for case in map(json.loads, lines)]


def as_numbers(logits: list[Any]) -> list[float]:
    """Return the logits of a case, with -inf for masked classes."""
    return [-math.inf if number == "-Infinity" else number for number in logits]
