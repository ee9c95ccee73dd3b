"""Answers to several inputs -> a judgement of each, by one verdict on all where that will do.

What a verdict costs is mostly the same for a few numbers and for thousands. Inputs of one shape are
therefore judged as batches, one below the other. Those that pass there have passed. All others are
judged alone, which decides.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray
from softgrad_core.probing.frameworks import Answer
from softgrad_core.probing.inputs import Input, Plan
from softgrad_core.probing.judging import Judgement, cases_of, judge
from softgrad_core.tensors import stacked
from softgrad_core.verification.judging import Claims


def judge_all(
    answered: Sequence[tuple[Input, Answer]], dtype: Dtype, plan: Plan
) -> list[Judgement]:
    """Judge what a function gave for several inputs, each as if it were alone."""
    alike: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
    for place, (given, answer) in enumerate(answered):
        alike[_kind(given, answer)].append(place)
    worst: dict[int, float] = {}
    for (shape, *_), places in alike.items():
        if not shape[0]:
            continue
        passed, errors = _judged([answered[place] for place in places], dtype, plan)
        worst |= {places[which]: float(errors[which]) for which in np.flatnonzero(passed)}
    return [
        Judgement(given, dtype, plan, answer, worst_ulp=worst[place])
        if place in worst
        else judge(given, dtype, plan, answer)
        for place, (given, answer) in enumerate(answered)
    ]


def _kind(given: Input, answer: Answer) -> tuple[Any, ...]:
    """Return what is the same for inputs that can be judged together."""
    claims = [(name, claim.shape, claim.dtype) for name, claim in answer.claims.items()]
    return given.logits.shape, given.upstream is not None, (*given.options.items(),), (*claims,)


def _judged(
    answered: Sequence[tuple[Input, Answer]], dtype: Dtype, plan: Plan
) -> tuple[BoolArray, FloatArray]:
    """Return which inputs of one kind pass, and the largest error of each."""
    count, (inputs, answers) = len(answered), zip(*answered, strict=True)
    passed, errors = np.ones(count, dtype=bool), np.zeros(count)
    try:
        cases = cases_of(_joined(inputs), dtype, plan, _as_one(answers, plan), count)
    except ValueError:
        return ~passed, errors
    for case in cases:
        claims = Claims(case.rows, case.objective, case.claims, case.tolerance, is_quick=True)
        for judged in claims.judged().values():
            comparison = judged.comparison
            passed &= ~comparison.failed.reshape(count, -1).any(axis=1)
            shown = np.where(comparison.shown, comparison.max_error_ulp, 0.0)
            np.maximum(errors, shown.reshape(count, -1).max(axis=1), out=errors)
    return passed, errors


def _joined(inputs: Sequence[Input]) -> Input:
    """Return inputs one below the other."""
    first, rows = inputs[0], len(inputs[0].logits)
    if len(inputs) == 1:
        return first
    logits = np.concatenate([given.logits for given in inputs])
    targets = np.concatenate([given.targets for given in inputs])
    if first.upstream is None:
        return Input(logits, targets, options=first.options)
    above = [np.broadcast_to(np.asarray(given.upstream), rows) for given in inputs]
    return Input(logits, targets, np.concatenate(above), options=first.options)


def _as_one(answers: Sequence[Answer], plan: Plan) -> Answer:
    """Return answers whose claims have the same names, types and shapes as one.

    Raises ValueError if there is one loss where there should be one a row.
    """
    if len(answers) == 1:
        return answers[0]
    claims = {
        name: stacked([answer.claims[name] for answer in answers]) for name in answers[0].claims
    }
    if not plan.is_reduced and any(claim.ndim == 1 for claim in claims.values()):
        raise ValueError
    return Answer({name: claim.reshape(-1, *claim.shape[2:]) for name, claim in claims.items()})
