"""JSON records, understood as examples in groups of one shape, or as errors."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from softgrad.inputs.records import values as v
from softgrad.inputs.records.plain import QUOTED, READ, UNUSUAL, may_hide_a_key, plain_examples
from softgrad.records import fields
from softgrad.records.records import Defaults, Examples, Interpreted, Records
from softgrad_core.errors import InputError
from softgrad_core.loss.from_options import objective_of
from softgrad_core.loss.objective import Batches, Objective, joined
from softgrad_core.loss.options import Reduction, check_num_classes, weights_by_name
from softgrad_core.loss.targets import check_distribution, class_index

_NEAR_TARGETS = ("y", "label", "labels", "targets", "class")
"""Names that somebody might give the target, and that are not read."""


def interpret(
    records: Records, defaults: Defaults, *, with_claims: bool, typed: bool = False
) -> Interpreted:
    """Return what the records say, in groups of one shape, and the errors of the others.

    With claims, the records of a group also claim the same quantities. If claims may be `typed`,
    those with few digits are told from those that a machine wrote.
    """
    near: Sequence[str] = ()
    if with_claims:
        from softgrad.inputs.records.claims import near_claims

        near = near_claims(records.values)
    plain = plain_examples(records, defaults, with_claims=with_claims, typed=typed)
    if plain is not None:
        return Interpreted([plain], {}, near)
    errors: dict[int, InputError] = {}
    groups: dict[tuple[object, ...], list[tuple[int, _Said]]] = {}
    # Arguments have no lines.
    by_hand = records.lines[:1] == [None] if typed else None
    for index, (text, value) in enumerate(zip(records.texts, records.values, strict=True)):
        try:
            said = _interpret_one(text, value, defaults, with_claims=with_claims, by_hand=by_hand)
        except InputError as error:
            errors[index] = error.with_traceback(None)
        else:
            groups.setdefault(said.kind, []).append((index, said))
    return Interpreted([_examples_of(group) for group in groups.values()], errors, near)


class _Said(NamedTuple):
    """What one record says. A plain label needs no objective."""

    logits: list[Any]
    target: Any
    objective: Objective | None
    names: list[str] | None
    other: int | None
    claims: dict[str, list[float]]
    half_units: dict[str, list[float]] | None
    outer: tuple[int, ...]

    @property
    def kind(self) -> tuple[object, ...]:
        """What the records of one group have in common."""
        is_batch = type(self.logits[0]) is list
        shape = (len(self.logits), len(self.logits[0])) if is_batch else (len(self.logits),)
        if self.objective is None:
            return (shape, self.outer, self.half_units is None, *self.claims)
        batches = self.objective.batches
        # Options may take another path through the kernel even if they change nothing. Such
        # records stand apart, so that a record has the same bits whatever stands beside it.
        return (
            shape,
            self.outer,
            tuple(self.objective.options_in_use),
            batches and batches.reduced,
            self.half_units is None,
            *self.claims,
        )


def _examples_of(group: list[tuple[int, _Said]]) -> Examples:
    """Return the records of a group as arrays."""
    indices, said = zip(*group, strict=True)
    logits = np.array([one.logits for one in said], dtype=np.float64)
    classes = logits.shape[-1]
    if said[0].objective is None:
        objective = Objective(np.array([one.target for one in said]))
    else:
        objective = joined([one.objective for one in said])
    claims, half_units = (
        {
            name: np.array([getattr(one, what)[name] for one in said], dtype=np.float64)
            for name in getattr(said[0], what) or ()
        }
        for what in ("claims", "half_units")
    )
    return Examples(
        indices,
        logits.reshape(-1, classes),
        objective,
        [one.names for one in said],
        [one.other for one in said],
        claims,
        half_units,
        are_batches=logits.ndim > 2,
        outer=said[0].outer,
    )


def _interpret_one(
    text: bytes, value: Any, defaults: Defaults, *, with_claims: bool, by_hand: bool | None
) -> _Said:
    """Return what one record says, or raise InputError.

    `by_hand` says whether claims with few digits, which are held to these, were typed as arguments;
    None if no claim is held to its digits.
    """
    if isinstance(value, InputError):
        raise value
    if not isinstance(value, dict):
        raise InputError("not-an-object", v.not_an_object(value))
    _refuse_repeated(text, READ + fields.CLAIMS if with_claims else READ)
    logits = v.logits_of(value)
    is_batch = type(logits[0]) is list
    columns = len(logits[0]) if is_batch else len(logits)
    options = _options_of(value, defaults)
    classes = _count_of(options, columns)
    names = _names_of(value.get(fields.CLASSES, defaults.classes), classes, columns)
    weights = options.get(fields.CLASS_WEIGHTS)
    if isinstance(weights, dict):
        options[fields.CLASS_WEIGHTS] = weights_by_name(weights, names and names[:classes])
    target = _target_in(value, defaults)
    outer = v.outer_shape(value[fields.LOGITS]) if is_batch else ()
    if len(outer) > 1:
        value = _in_rows(value, outer)
        target = v.flattened(fields.TARGET, target, outer)
    if is_batch and fields.DENOMINATOR not in options:
        options.setdefault(fields.REDUCTION, Reduction.MEAN)
    objective = None
    if options or type(target) is list:
        target = _target_of(target, logits, classes, names, options)
        shape = (len(logits), columns) if is_batch else (columns,)
        objective = objective_of(target, shape, **options)
        if is_batch and objective.batches is None:
            objective = replace(objective, batches=Batches(len(logits), np.ones(1), reduced=False))
    else:
        target = class_index(target, classes, names)
    other, claims = None, {}
    if defaults.other is not None:
        other = class_index(defaults.other, classes, names, what="class")
    if with_claims:
        from softgrad.inputs.records.claims import claims_of

        claims = claims_of(value, logits, objective)
    units = None if by_hand is None else _half_units_of(text, value, by_hand=by_hand)
    return _Said(logits, target, objective, names, other, claims, units, outer)


def _target_in(value: dict[str, Any], defaults: Defaults) -> Any:
    """Return the target of a record as it is written, or raise InputError."""
    if fields.TARGET not in value and defaults.target is None:
        expected = f'expected the true class as "{fields.TARGET}"'
        seen = "".join(f', got "{name}"' for name in _NEAR_TARGETS if name in value)
        reason = f"{expected}: an index from 0, or give --target{seen}"
        raise InputError("target-missing", reason)
    return value.get(fields.TARGET, defaults.target)


def _in_rows(value: dict[str, Any], outer: tuple[int, ...]) -> dict[str, Any]:
    """Return a record whose nested claims are those of one row after another."""
    nested = [name for name in fields.CLAIMS if type(value.get(name)) is list]
    return {**value, **{name: v.flattened(name, value[name], outer) for name in nested}}


def _half_units_of(
    text: bytes, value: dict[str, Any], *, by_hand: bool
) -> dict[str, list[float]] | None:
    from softgrad.inputs.records.digits import half_units

    return half_units(text, value, by_hand=by_hand)


def _options_of(value: dict[str, Any], defaults: Defaults) -> dict[str, Any]:
    """Return a record's options of the loss; null cancels the option of the command line."""
    if not defaults.options and UNUSUAL.isdisjoint(value):
        return {}
    said = {**defaults.options, **{name: value[name] for name in fields.OPTIONS if name in value}}
    return {name: said[name] for name in fields.OPTIONS if said.get(name) is not None}


def _count_of(options: Mapping[str, Any], columns: int) -> int:
    """Return how many of the columns of logits are classes; the others are padding."""
    count = check_num_classes(options.get(fields.NUM_CLASSES))
    return columns if count is None else min(count, columns)


def _names_of(names: Any, classes: int, columns: int) -> list[str] | None:
    """Return a name for each column of logits, where there are names for the classes."""
    if names is None:
        return None
    are_of_columns = isinstance(names, (list, tuple)) and len(names) == columns
    names = v.names_of(names, columns if are_of_columns else classes)
    return [*names, *(f"padding {column}" for column in range(len(names), columns))]


def _target_of(
    target: Any,
    logits: list[Any],
    classes: int,
    names: list[str] | None,
    options: Mapping[str, Any],
) -> Any:
    """Return a target, or one for each row, as class indices or as probabilities."""
    if type(logits[0]) is not list:
        return _target_of_row(target, len(logits), classes, names, options)
    if type(target) is not list or len(target) != len(logits):
        got = len(target) if type(target) is list else v.json_kind(target)
        expected = f"expected one target for each of {len(logits)} rows of logits"
        raise InputError("targets-count", f"{expected}, got {got}")
    targets = []
    for row, one in enumerate(target):
        try:
            targets.append(_target_of_row(one, len(logits[0]), classes, names, options))
        except InputError as error:
            raise v.in_row(error, fields.TARGET, row) from None
    if len({type(one) for one in targets}) > 1:
        expected = "expected labels or lists of probabilities as targets"
        raise InputError("targets-mixed", f"{expected}, got both")
    return targets


def _target_of_row(
    target: Any, columns: int, classes: int, names: list[str] | None, options: Mapping[str, Any]
) -> int | list[float]:
    """Return the target of one row, or raise InputError."""
    if type(target) is list:
        is_unnormalized = bool(options.get("unnormalized_target"))
        count = columns if len(target) == columns else classes
        check_distribution(target, count, unnormalized=is_unnormalized)
        return [float(share) for share in target]
    if type(target) is int and target == options.get(fields.IGNORE_INDEX):
        return target
    return class_index(target, columns, names)


def _refuse_repeated(text: bytes, names: Sequence[str]) -> None:
    """Raise InputError if a field that is read is given twice."""
    if not may_hide_a_key(text) and all(text.count(QUOTED[name]) < 2 for name in names):
        return
    from softgrad.records import json_text

    counts = Counter(key for key, _ in json_text.members(text.decode()))
    for name in names:
        if counts[name] > 1:
            reason = f'"{name}" is given {counts[name]} times in one record'
            raise InputError("key-repeated", reason)
