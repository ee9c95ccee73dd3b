"""Many answers are judged together, and each has the verdict that it has alone."""

from itertools import product

import numpy as np
import pytest
from support.losses import ignoring, log_softmax, mean, plain, weighted, with_z_loss
from support.sweeps import in_sweeps

from softgrad_core.dtypes import Dtype
from softgrad_core.probing.frameworks import Answer, function_of
from softgrad_core.probing.inputs import Plan
from softgrad_core.probing.judging import judge
from softgrad_core.probing.probe import plan_of
from softgrad_core.probing.search import SEARCHED, Search
from softgrad_core.probing.together import judge_all
from softgrad_core.probing.trials import NAMED, Draw
from softgrad_core.tensors import Packed

ENTRIES = [entry for entry in NAMED if entry.family in SEARCHED]

TOLD = {
    "none": (plain, {}),
    "mean": (mean, {"reduction": "mean"}),
    "ignoring": (ignoring, {"reduction": "mean", "ignore_index": -100}),
    "weighted": (weighted, {"reduction": "mean", "class_weights": [1, 2, 0.5]}),
    "z-loss": (with_z_loss, {"z_loss_scale": 0.01}),
    "log-probs": (lambda a, _y: {"log_probs": log_softmax(a)}, {}),
}
CASES = [*product(TOLD, ("float64", "float32", "bfloat16", "float16"))]
FEW = [("mean", "float64"), ("none", "float32"), ("none", "bfloat16"), ("ignoring", "float16")]


def of_type(claim, dtype):
    numbers = np.asarray(claim, dtype=np.float64)
    rounded = dtype.round(np.atleast_1d(numbers)).reshape(numbers.shape)
    if dtype is not Dtype.BFLOAT16:
        return rounded.astype(dtype)
    bits = rounded.astype(np.float32).view(np.uint32) >> 16
    return Packed(bits.astype(np.uint16), "bfloat16")


def changed(rng, claim, dtype):
    """Return a claim that may be a little off, or far."""
    numbers = np.array(claim[...], dtype=np.float64)
    place, off = rng.integers(numbers.size), dtype.epsilon * 2.0 ** rng.integers(-2, 8)
    kind = rng.integers(8)
    if kind == 0:
        numbers.reshape(-1)[place] *= 1.0 + off
    elif kind == 1:
        numbers *= 1.0 + off
    elif kind == 2:
        numbers.reshape(-1)[place] += dtype.smallest * 2.0 ** rng.integers(0, 5)
    elif kind == 3:
        numbers.reshape(-1)[place] = 0.0
    return of_type(numbers, dtype)


def answered(rng, function, plan: Plan, dtype):
    """Return inputs of one shape that were drawn together, with right and wrong answers."""
    search = Search(ENTRIES)
    with np.errstate(all="ignore"):
        for given in search.next(Draw(rng, dtype, plan), 16):
            answer = function.answer(given, Dtype.FLOAT64, plan)
            claims = {name: of_type(claim, dtype) for name, claim in answer.claims.items()}
            yield given, Answer({name: changed(rng, one, dtype) for name, one in claims.items()})


@pytest.mark.parametrize(("told", "name"), [*FEW, *in_sweeps(sorted({*CASES} - {*FEW}))])
def test_the_verdict_is_the_same_alone_as_among_others(told, name):
    function, options = TOLD[told]
    rng, dtype, plan = np.random.default_rng(0), Dtype(name), plan_of([], options)
    wrong = right = 0
    for _ in range(12):
        drawn = [*answered(rng, function_of(function), plan, dtype)]
        for (given, answer), judgement in zip(drawn, judge_all(drawn, dtype, plan), strict=True):
            alone = judge(given, dtype, plan, answer)
            assert (judgement.failed, judgement.refused) == (alone.failed, alone.refused)
            wrong += bool(alone.failed)
            right += not alone.failed
    assert min(wrong, right) > 12


def test_labels_that_count_are_never_the_one_that_is_ignored():
    plan = plan_of([], {"ignore_index": 0})
    draw = Draw(np.random.default_rng(0), Dtype.FLOAT64, plan)
    assert {*draw.targets(200, 4)} == {1, 2, 3}
