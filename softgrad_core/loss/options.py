"""The options of the loss, one entry each: its check, its help, its keyword, its field in records.

A new option is an entry of `LossOptions`. The command, the reader of records and the Python
functions all take it from there; where it enters the formula is said in `objective.py`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, TypedDict, get_args, get_type_hints

import numpy as np
import numpy.typing as npt

from softgrad_core.errors import InputError
from softgrad_core.loss.logits import FloatArray, described, is_number
from softgrad_core.tensors import as_numpy, as_plain_number


class Reduction(StrEnum):
    """What becomes of the losses of a batch of rows."""

    MEAN = "mean"
    SUM = "sum"
    NONE = "none"


class Option(NamedTuple):
    """What is known of an option beside its name and type.

    Attributes
    ----------
    default
        The value that changes nothing.
    check
        Returns a value in its own type, or raises InputError.
    metavar
        What the help calls the value; empty for a flag.
    help
        What the option does, in a few words; empty for one that the help leaves out.
    """

    default: Any
    check: Callable[[Any], Any]
    metavar: str
    help: str


def check_smoothing(value: object) -> float:
    """Return ε, or raise InputError unless it is from 0 to 1."""
    if not (is_number(value) and 0 <= value <= 1):
        raise InputError(
            "label-smoothing-out-of-range",
            f"expected a label_smoothing from 0 to 1, got {described(value)}",
        )
    return float(value)


def check_weights(values: Any) -> FloatArray | None:
    """Return the weights of the classes, or raise InputError unless all are finite and >= 0."""
    if values is None:
        return None
    try:
        given = list(values if isinstance(values, (list, tuple)) else as_numpy(values).tolist())
    except TypeError:
        raise InputError(
            "class-weights-not-a-list",
            f"expected class_weights as a list of numbers, got {described(values)}",
        ) from None
    for place, value in enumerate(given):
        if not (is_number(value) and 0 <= value < math.inf):
            raise InputError(
                "class-weight-out-of-range",
                f"class_weights[{place}]: expected a finite number from 0 on, "
                f"got {described(value)}",
            )
    return np.array(given, dtype=np.float64)


def check_temperature(value: object) -> float:
    """Return T, or raise InputError unless it is above 0."""
    if not (is_number(value) and 0 < value < math.inf):
        raise InputError(
            "temperature-out-of-range", f"expected a temperature above 0, got {described(value)}"
        )
    return float(value)


def check_ignore_index(value: object) -> int | None:
    """Return the label of the rows to leave out, or raise InputError unless it is an integer."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise InputError(
            "ignore-index-not-an-index",
            f"expected ignore_index to be a whole number, got {described(value)}",
        )
    return int(value)


def check_num_classes(value: object) -> int | None:
    """Return K, the number of columns that are classes, or raise InputError unless it is 2 on."""
    if value is None:
        return None
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not (is_whole and value >= 2):  # type: ignore[operator]
        raise InputError(
            "num-classes-out-of-range",
            f"expected num_classes to be a whole number from 2 on, got {described(value)}",
        )
    return int(value)  # type: ignore[call-overload, no-any-return]


def _check_positive(name: str, value: object) -> float:
    """Return a finite number above 0, or raise InputError."""
    if not (is_number(value) and 0 < value < math.inf):
        raise InputError(
            f"{name.replace('_', '-')}-out-of-range",
            f"expected a finite {name} above 0, got {described(value)}",
        )
    return float(value)


def check_softcap(value: object) -> float | None:
    """Return the cap, or raise InputError unless it is finite and above 0."""
    return None if value is None else _check_positive("softcap", value)


def check_z_loss_scale(value: object) -> float:
    """Return ζ, or raise InputError unless it is finite and not negative."""
    if not (is_number(value) and 0 <= value < math.inf):
        raise InputError(
            "z-loss-scale-out-of-range",
            f"expected a finite z_loss_scale from 0 on, got {described(value)}",
        )
    return float(value)


def check_loss_scale(value: object) -> float:
    """Return m, or raise InputError unless it is finite and above 0."""
    return _check_positive("loss_scale", value)


def check_denominator(value: object) -> float | None:
    """Return D, or raise InputError unless it is finite and above 0."""
    return None if value is None else _check_positive("denominator", value)


def check_reduction(value: object) -> Reduction:
    """Return the reduction of this name, or raise InputError."""
    if not isinstance(value, str) or value not in list(Reduction):
        raise InputError(
            "reduction-unknown",
            f"expected a reduction that is mean, sum or none, got {described(value)}",
        )
    return Reduction(value)


def _check_flag(name: str, value: object) -> bool:
    """Return a flag, or raise InputError unless it is true or false."""
    if not isinstance(value, (bool, np.bool)):
        raise InputError(
            f"{name.replace('_', '-')}-not-a-boolean",
            f"expected {name} to be true or false, got {described(value)}",
        )
    return bool(value)


def check_unnormalized(value: object) -> bool:
    """Return whether a target may have any sum, or raise InputError."""
    return _check_flag("unnormalized_target", value)


def check_divergence(value: object) -> bool:
    """Return whether the loss is the divergence, or raise InputError."""
    return _check_flag("kl_divergence", value)


class LossOptions(TypedDict, total=False):
    """The options of the loss: keywords in Python, fields of a record, options of the command."""

    label_smoothing: Annotated[
        float,
        Option(0.0, check_smoothing, "ε", "Smooth the target: (1 - ε) t + ε/K"),
    ]
    class_weights: Annotated[
        npt.ArrayLike | None,
        Option(None, check_weights, "W,W,…", "Weights of the classes; or cat=2,dog=1"),
    ]
    ignore_index: Annotated[
        int | None,
        Option(None, check_ignore_index, "Y", "The label of rows that do not count"),
    ]
    temperature: Annotated[float, Option(1.0, check_temperature, "T", "Take the softmax of a/T")]
    reduction: Annotated[
        str,
        Option(Reduction.NONE, check_reduction, "HOW", "Mean, sum or none, for a batch of rows"),
    ]
    unnormalized_target: Annotated[
        bool,
        # The error about such a target names it.
        Option(False, check_unnormalized, "", ""),
    ]
    softcap: Annotated[
        float | None,
        Option(None, check_softcap, "CAP", "Take CAP tanh(a / CAP) for a"),
    ]
    z_loss_scale: Annotated[
        float,
        Option(0.0, check_z_loss_scale, "ζ", "Add ζ (log Σ exp z)² to the loss"),
    ]
    num_classes: Annotated[
        int | None,
        Option(None, check_num_classes, "K", "Columns from K on are padding"),
    ]
    loss_scale: Annotated[float, Option(1.0, check_loss_scale, "m", "Multiply the loss by m")]
    denominator: Annotated[
        float | None,
        Option(None, check_denominator, "D", "Take the mean, divided by D"),
    ]
    kl_divergence: Annotated[
        bool,
        Option(False, check_divergence, "", "Add Σ q log q to the loss"),
    ]


def _table() -> dict[str, Option]:
    hints = get_type_hints(LossOptions, include_extras=True)
    return {name: get_args(hint)[1] for name, hint in hints.items()}


OPTIONS: Mapping[str, Option] = _table()
"""The options by name, in the order of the help."""


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options, those that are given checked, the others with their defaults.

    None stands for an option that is not given.

    Raises
    ------
    InputError
        Where a value cannot be, with what was expected.
    TypeError
        Where there is no option of a name.

    Examples
    --------
    >>> checked = check_options({"temperature": 2})
    >>> checked["temperature"], checked["label_smoothing"]
    (2.0, 0.0)
    """
    if unknown := options.keys() - OPTIONS.keys():
        from difflib import get_close_matches  # Loading it takes time.

        name = unknown.pop()
        near = _MEANT.get(name) or next(iter(get_close_matches(name, OPTIONS, n=1)), "")
        hint = f"; did you mean {near}?" if near else ""
        raise TypeError(f"expected options out of {', '.join(OPTIONS)}, got {name!r}{hint}")
    return {
        name: option.default
        if options.get(name) is None
        else option.check(as_plain_number(options[name]))
        for name, option in OPTIONS.items()
    }


_MEANT = {
    **dict.fromkeys(("weight", "weights"), "class_weights"),
    **dict.fromkeys(("target", "labels", "label", "y"), "targets"),
    **dict.fromkeys(("grad", "gradient", "dlogits"), "grad_logits"),
    **dict.fromkeys(("softmax", "probabilities"), "probs"),
    **dict.fromkeys(("lse_square_scale", "z_loss_weight", "z_loss_multiplier"), "z_loss_scale"),
    **dict.fromkeys(("logit_softcap", "soft_cap", "softcapping"), "softcap"),
    "smoothing": "label_smoothing",
    "nll": "loss",
}
"""Keywords that there are not, and what people mean by them."""


def weights_by_name(weights: Mapping[str, Any], names: Sequence[str] | None) -> list[Any]:
    """Return class weights that are given by name in the order of the classes.

    Raises
    ------
    InputError
        Where the classes have no names, or there is not one weight for each.
    """
    if names is None:
        raise InputError(
            "class-weights-unnamed", "class_weights are given by name, but no class names are"
        )
    missing = [name for name in names if name not in weights]
    unknown = [name for name in weights if name not in names]
    if missing or unknown:
        problem = f'no weight for "{missing[0]}"' if missing else f'"{unknown[0]}" is no class'
        raise InputError(
            "class-weights-names", f"expected class_weights for all class names: {problem}"
        )
    return [weights[name] for name in names]
