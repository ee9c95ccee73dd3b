"""What the script of a page has to know of a row, to move its numbers; and the script itself.

The script is JavaScript without anything that has to be compiled or fetched: see live/.
"""

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

from softgrad.messages import printable
from softgrad.outputs.page.blocks import Moving
from softgrad_core.derivation import formulas as f
from softgrad_core.derivation.explain import Derivation
from softgrad_core.derivation.slopes import Setting

FOLDER = Path(__file__).parent
FILES = ("softmax", "formulas", "numbers", "plots", "table", "controls", "page")


@cache
def script() -> str:
    """Return the script, in a function of its own: it touches nothing else on a page."""
    files = (FOLDER.joinpath("live", f"{name}.js").read_text("utf-8") for name in FILES)
    return f'(() => {{\n"use strict";\n{"".join(files)}}})();\n'


class Origins:
    """The formulas that the numbers of a row are the values of, each of them once."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def place(self, formula: f.Formula) -> int:
        """Return the place of a formula in the list of all."""
        return self.places.setdefault(_text(_tree(formula)), len(self.places))


def data_of(moving: Moving, origins: Origins) -> str:
    """Return the data of a row, as JSON for a script."""
    derivation = moving.derivation
    setting = Setting.of(derivation.logits, derivation.objective)
    data = {
        "row": _row(derivation, setting),
        "names": None if moving.names is None else list(map(printable, moving.names)),
        "options": _options(derivation),
        "canChoose": _can_choose(derivation),
        "scales": {"run": setting.run, "rise": setting.rise},
        "formulas": [json.loads(tree) for tree in origins.places],
    }
    # In a script, a tag of a name would end it.
    return _text(data).replace("<", "\\u003c")


def _row(derivation: Derivation, setting: Setting) -> dict[str, Any]:
    """Return the row as the script has it."""
    objective = derivation.objective

    def first(name: str, default: Any) -> Any:
        values = getattr(objective, name)
        return default if values is None else values[0].tolist()

    return {
        "logits": [number if math.isfinite(number) else "-Infinity" for number in setting.logits],
        "target": derivation.target,
        "label": setting.label,
        "other": derivation.cases[1],
        "targets": first("distribution", None),
        "classWeights": first("class_weights", None),
        "smoothing": first("smoothing", 0.0),
        "temperature": setting.temperature,
        "cap": first("softcap", None),
        "scale": first("scale", 1.0),
        "divisor": first("divisor", 1.0),
        "zeta": setting.penalty,
        "counts": bool(first("counted", True)),
        "isDivergence": bool(first("is_divergence", False)),
    }


def _options(derivation: Derivation) -> list[str]:
    """Return the names of the options that can be moved, as the script has them."""
    names = {"temperature": "temperature", "smoothing": "smoothing", "softcap": "cap"}
    return [names[name] for name in names if name in derivation.objective.options_in_use]


def _can_choose(derivation: Derivation) -> bool:
    """Return whether another class can be the target, and the rest of the loss stays the same."""
    objective = derivation.objective
    # The mean of a batch divides by the weights of its targets.
    is_mean = objective.divisor is not None and objective.class_weights is not None
    return derivation.target is not None and not is_mean


def _tree(formula: f.Formula) -> list[Any]:
    """Return a formula as nested lists: its name, and its parts."""
    match formula:
        case f.Terms(whole, _):
            return _tree(whole)
        case f.Entries(entry):
            return _tree(entry)
        case f.Number(value):
            return ["Number", float(value)]
        case f.Known(letter, index) | f.Logit(index, letter):
            is_known = isinstance(formula, f.Known)
            return ["Known", letter, index] if is_known else ["Logit", index, letter]
        case f.Constant(letter):
            return ["Constant", letter]
    values = [getattr(formula, name) for name in formula.__dataclass_fields__]
    parts: list[Any] = [_tree(v) if isinstance(v, f.Formula) else v for v in values]
    return [type(formula).__name__, *parts]


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
