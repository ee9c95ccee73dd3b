"""Mistakes as people make them: kernels in NumPy that round every result to their type.

They are written from descriptions of the mistakes and share no code with softgrad_core. Records are
rows.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np

Array = np.ndarray
Round = Callable[[Array], Array]

DTYPES = ("float64", "float32", "bfloat16", "float16")


def rounder(dtype: str) -> Round:
    """Return the function that rounds to `dtype` and returns float64."""
    if dtype == "bfloat16":
        return _to_bfloat16

    def to_numpy(values: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(values, dtype=np.float64).astype(dtype).astype(np.float64)

    return to_numpy


def _to_bfloat16(values: Array) -> Array:
    """Round to the upper half of a float32, half to even."""
    with np.errstate(all="ignore"):
        bits = np.atleast_1d(np.asarray(values).astype(np.float32)).view(np.uint32)
        rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
        kept = np.where(np.isnan(bits.view(np.float32)), bits, rounded & np.uint32(0xFFFF0000))
        return kept.view(np.float32).astype(np.float64).reshape(np.shape(values))


class Batch:
    """A batch of records, and their softmax as computed in a type."""

    def __init__(self, logits: Array, labels: Array, dtype: str) -> None:
        self.round = rounder(dtype)
        self.a = self.round(logits)
        self.y = labels
        self.n, self.k = logits.shape
        self.rows = np.arange(self.n)
        self.e = np.eye(self.k)[labels]
        self.p = self.softmax(self.a)
        self.p_y = self.p[self.rows, labels][:, None]

    def softmax(self, a: Array, axis: int | None = 1, shift: float | None = None) -> Array:
        r = self.round
        with np.errstate(all="ignore"):
            top = a.max(axis=axis, keepdims=True) if shift is None else shift
            e = r(np.exp(r(a - top)))
            return r(e / r(e.sum(axis=axis, keepdims=True)))

    def log_softmax(self, a: Array) -> Array:
        r = self.round
        d = r(a - a.max(axis=1, keepdims=True))
        return r(d - r(np.log(r(r(np.exp(d)).sum(axis=1, keepdims=True)))))

    def jacobian(self, p: Array, v: Array) -> Array:
        r = self.round
        return r(p * r(v - r((p * v).sum(axis=1, keepdims=True))))


def _upstream(b: Batch) -> Array:
    return np.random.default_rng(b.n).uniform(0.5, 2.0, size=(b.n, 1))


def gradients(b: Batch) -> Iterator[tuple[str, str, Array]]:
    """Yield for each mistake its kind, its name, and the gradient that it returns."""
    r, p, e, p_y = b.round, b.p, b.e, b.p_y
    g = r(p - e)
    batch_size = 32
    with np.errstate(all="ignore"):
        yield "1", "wrong-sign", r(e - p)
        yield "2a", "target-added", r(p + e)
        yield "2b", "target-not-subtracted", p
        yield "2c", "softmax-left-out", -e
        yield "3", "gradient-of-the-output", r(-e / p_y)
        yield "4", "gradient-of-the-output-negated", r(e / p_y)
        yield "5", "jacobian-diagonal-only", r(-e * r(1 - p))
        yield "6", "sigmoid-derivative-kept", r(r(g * p) * r(1 - p))
        v = r(r(-e / p_y) + r((1 - e) / r(1 - p)))
        yield "7", "binary-cross-entropy", v
        yield "8", "sigmoid-for-softmax", r(r(1 / r(1 + r(np.exp(-b.a)))) - e)
        yield "9", "binary-cross-entropy-through-softmax", b.jacobian(p, v)
        yield "10", "logarithm-not-taken", r(p_y * g)
        yield "11a", "softmax-twice", r(b.softmax(p) - e)
        yield "11b", "softmax-twice-through-both", b.jacobian(p, r(b.softmax(p) - e))
        yield "12a", "mean-over-batch", r(g / batch_size)
        yield "12b", "sum-over-batch", r(g * batch_size)
        yield "13", "mean-over-batch-twice", r(g / batch_size**2)
        yield "14", "one-term-averaged", r(p - r(e / batch_size))
        yield "15", "mean-over-classes", r(g / b.k)
        yield "16", "factor-2", r(2 * g)
        yield "17a", "logarithm-to-base-2", r(g / math.log(2))
        yield "17b", "logarithm-to-base-10", r(g / math.log(10))
        yield "18a", "label-off-by-one", r(p - np.eye(b.k)[(b.y + 1) % b.k])
        yield "18b", "label-off-by-one", r(p - np.eye(b.k)[(b.y - 1) % b.k])
        yield "19a", "softmax-over-the-wrong-axis", r(b.softmax(b.a, axis=0) - e)
        yield "19b", "softmax-over-the-whole-array", r(b.softmax(b.a, axis=None) - e)
        yield "24a", "factor-of-each-record", r(g * _upstream(b))
        yield "24b", "constant-factor", r(g * 1.37)
        yield "26", "label-smoothing", r(p - r(0.9 * e + 0.1 / b.k))
        yield "27a", "label-smoothing-of-another-sum", r(p - r((1 - 0.1 / b.k) * e + 0.1 / b.k))
        yield "27b", "label-smoothing-of-another-sum", r(p - r(0.9 * e + 1 / b.k))
        yield (
            "27c",
            "label-smoothing-of-another-sum",
            r(p - r((0.9 - 0.1 / b.k) * e + 0.1 / b.k)),
        )
        yield "28a", "temperature-without-its-factor", r(b.softmax(r(b.a / 2)) - e)
        yield "28b", "temperature-without-its-factor", r(b.softmax(r(b.a * 2)) - e)
        if b.k > 2:
            # Two classes leave one number, which T and a factor explain equally well.
            yield "28c", "temperature", r(r(b.softmax(r(b.a / 2)) - e) / 2)


def probabilities(b: Batch) -> Iterator[tuple[str, str, Array]]:
    """Yield the same with probabilities."""
    r, p, e = b.round, b.p, b.e
    with np.errstate(all="ignore"):
        yield "29", "gradient-of-the-logits", r(p - e)
        yield "8", "sigmoid-for-softmax", r(1 / r(1 + r(np.exp(-b.a))))
        yield "11", "softmax-twice", b.softmax(p)
        yield "19a", "softmax-over-the-wrong-axis", b.softmax(b.a, axis=0)
        yield "19b", "softmax-over-the-whole-array", b.softmax(b.a, axis=None)
        yield "28", "temperature", b.softmax(r(b.a * 2))


def losses(b: Batch) -> Iterator[tuple[str, str, Array]]:
    """Yield the same with losses."""
    r, p_y, a_y = b.round, b.p_y[:, 0], b.a[b.rows, b.y]
    loss = r(-b.log_softmax(b.a)[b.rows, b.y])
    with np.errstate(all="ignore"):
        yield "1", "wrong-sign", -loss
        yield "10", "logarithm-not-taken", -p_y
        yield "8", "sigmoid-for-softmax", r(-np.log(r(1 / (1 + np.exp(-a_y)))))
        yield "11", "softmax-twice", r(-b.log_softmax(b.p)[b.rows, b.y])
        yield "12a", "mean-over-batch", r(loss / 32)
        yield "15", "mean-over-classes", r(loss / b.k)
        yield "17a", "logarithm-to-base-2", r(loss / math.log(2))
        yield "18a", "label-off-by-one", r(-b.log_softmax(b.a)[b.rows, (b.y + 1) % b.k])
        yield "", "softmax-left-out", -a_y
        yield "", "probability-of-the-target", p_y


def out_of_range(b: Batch, shift: float) -> Array:
    """Return the gradient with a shift other than the maximum of each record."""
    return b.round(b.softmax(b.a, shift=shift) - b.e)


def subtracted_in(b: Batch, dtype: str) -> Array:
    """Return the gradient with p_y - 1 computed in another type."""
    narrow = rounder(dtype)
    at_target = narrow(narrow(b.p) - 1.0)
    return np.where(b.e == 1.0, at_target, b.p)


# Logits for which exp overflows, and differences of logits for which exp is 0 and p rounds to 1.
TOO_HIGH = {"float64": 725.0, "float32": 95.0, "bfloat16": 95.0, "float16": 13.0}
TOO_LOW = {"float64": 800.0, "float32": 200.0, "bfloat16": 200.0, "float16": 40.0}
CONFIDENT = {"float64": 38.0, "float32": 19.0, "bfloat16": 6.5, "float16": 9.0}


def at_the_limits(
    logits: Array, labels: Array, dtype: str
) -> Iterator[tuple[str, str, Batch, Array, dict[str, float]]]:
    """Yield mistakes that need their own logits: kind, name, batch, gradient and options."""
    high = Batch(logits + TOO_HIGH[dtype], labels, dtype)
    yield "20", "no-shift-by-the-maximum", high, out_of_range(high, 0.0), {}

    mixed = logits.copy()
    mixed[: len(logits) // 2] += TOO_LOW[dtype]
    b = Batch(mixed, labels, dtype)
    name = "shift-by-the-maximum-of-all"
    low = slice(len(logits) // 2, None)
    claims = rounder(dtype)(b.p - b.e)
    claims[low] = out_of_range(b, float(b.a.max()))[low]
    yield "21", name, b, claims, {}

    if dtype in {"float64", "float32"}:
        b = Batch(logits / 2, labels, dtype)
        for number, narrow in (("22a", "float16"), ("22b", "bfloat16")):
            yield number, "target-subtracted-in-low-precision", b, subtracted_in(b, narrow), {}

    sure = logits / 8
    sure[np.arange(len(labels)), labels] += CONFIDENT[dtype] + math.log(logits.shape[1])
    b = Batch(sure, labels, dtype)
    yield "30", "cancelled-to-zero", b, b.round(b.p - b.e), {"ulp": 8.0}
