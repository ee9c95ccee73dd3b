"""The kernel's values decide rows as values of more digits do."""

import numpy as np
import pytest
from support.planted import DTYPES, rounder

from softgrad_core import softmax_cross_entropy
from softgrad_core.loss.from_options import objective_of
from softgrad_core.verification import judging
from softgrad_core.verification.judging import Claims
from softgrad_core.verification.tolerances import Tolerance

OPTIONS = ({}, {"ignore_index": 0}, {"label_smoothing": 0.1}, {"class_weights": [0.5, 1.5, 1.0]})


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_near_the_bound_get_the_verdict_of_more_digits(monkeypatch, dtype, options):
    monkeypatch.setattr(judging, "EXACT_ELEMENTS", 0)
    monkeypatch.setattr(judging, "MEASURED_ELEMENTS", 1)
    rng = np.random.default_rng(DTYPES.index(dtype))
    rows, round_ = 300, rounder(dtype)
    logits = rng.normal(size=(rows, 3)) * 10.0 ** rng.uniform(-2, 2, size=(rows, 1))
    # In half of the rows the logit that is farthest from 0 is not the largest.
    logits[::2, 2] -= 10.0 ** rng.uniform(0, 2, size=rows // 2)
    logits = round_(logits)
    targets = rng.integers(3, size=rows)
    right = softmax_cross_entropy(logits, targets, **options)
    tolerance = Tolerance(dtype)
    size = tolerance.dtype.epsilon * 10.0 ** rng.uniform(-1, 4, size=(rows, 1))

    def wrong(values):
        columns = values.reshape(rows, -1)
        return round_(columns * (1 + size * rng.normal(size=columns.shape)))

    given = {name: wrong(getattr(right, name)) for name in ("probs", "loss", "grad_logits")}
    claims = Claims(logits, objective_of(targets, logits.shape, **options), given, tolerance)
    judged = claims.judged()
    for name in given:
        exactly = claims.components(name, np.arange(rows)).summed_up(tolerance.dtype)
        differ = np.flatnonzero(judged[name].comparison.ranks != exactly.ranks)
        assert not differ.size, (name, logits[differ], given[name][differ])
