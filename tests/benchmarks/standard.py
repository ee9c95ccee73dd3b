"""The verdict: the smallest error of a gradient of a batch that each test sees, by type.

The claim is the right gradient of a mean over rows with a random target, rounded to the type, with
every component off the target larger by a factor of 1 + error. From which error on does it fail?
"""

from collections.abc import Callable, Iterator

import numpy as np
from timing import Table

from softgrad_core import softmax_cross_entropy, verify
from softgrad_core.dtypes import Dtype

SHAPES = ((8, 10), (128, 1000), (4, 32_000))
ERRORS = [10.0 ** (step / 4) for step in range(-64, 1)]
CASES = (
    (Dtype.FLOAT64, None),
    (Dtype.FLOAT32, None),
    (Dtype.BFLOAT16, "float32"),
    (Dtype.BFLOAT16, None),
    (Dtype.FLOAT16, None),
)


class Problem:
    """Logits as at the start of a training, and the exact gradient of their mean loss."""

    def __init__(self, shape: tuple[int, int], dtype: Dtype, arithmetic: str | None) -> None:
        rng = np.random.default_rng(7)
        rows, classes = shape
        self.targets = rng.integers(classes, size=rows)
        self.dtype, self.arithmetic = dtype, arithmetic
        self.logits = dtype.round(rng.normal(size=shape))
        self.right = softmax_cross_entropy(self.logits, self.targets, reduction="mean").grad_logits
        self.is_off = np.ones(shape, dtype=bool)
        self.is_off[np.arange(rows), self.targets] = False

    def claim(self, error: float) -> np.ndarray:
        return self.dtype.round(np.where(self.is_off, self.right * (1.0 + error), self.right))

    def smallest_seen(self, fails: "Fails") -> str:
        """Return the smallest error that fails, where the right claim passes."""
        if fails(self, self.claim(0.0)):
            return "fails what is right"
        seen = (error for error in ERRORS if fails(self, self.claim(error)))
        return next((f"{error:.1g}" for error in seen), "not even 100 %")


Fails = Callable[[Problem, np.ndarray], bool]


def by_softgrad(problem: Problem, claim: np.ndarray) -> bool:
    options = {"reduction": "mean", "dtype": problem.dtype, "arithmetic": problem.arithmetic}
    result = verify(problem.logits, problem.targets, grad_logits=claim, **options)
    return bool(result.failed)


def by_assert_close(problem: Problem, claim: np.ndarray) -> bool:
    return not np.allclose(claim, problem.right, problem.dtype.rtol, problem.dtype.atol)


def by_assert_allclose(problem: Problem, claim: np.ndarray) -> bool:
    return not np.allclose(claim, problem.right, 1e-7, 0.0)


def by_gradcheck(problem: Problem, claim: np.ndarray) -> bool:
    return not np.allclose(claim, problem.right, 1e-3, 1e-5)


TESTS: dict[str, Fails] = {
    "softgrad verify": by_softgrad,
    "torch.testing.assert_close": by_assert_close,
    "numpy.testing.assert_allclose": by_assert_allclose,
    "torch.autograd.gradcheck": by_gradcheck,
}


def measure() -> Iterator[Table]:
    """Yield a table for each shape."""
    for shape in SHAPES:
        rows = [("type", *TESTS)]
        for dtype, arithmetic in CASES:
            problem = Problem(shape, dtype, arithmetic)
            found = [problem.smallest_seen(fails) for fails in TESTS.values()]
            rows.append((f"{dtype}, computed in {arithmetic or dtype}", *found))
        yield Table(
            f"The smallest relative error off the target that fails, mean over {shape[0]} rows of "
            f"{shape[1]:,} classes",
            rows,
            "The other tests are their inequalities with their defaults, beside exact values.",
        )
