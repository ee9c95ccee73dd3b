"""Arrays: probabilities, losses and gradients together, in memory and from file to file."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from timing import SOFTGRAD, Table, called, folder, in_turns, milliseconds, ratio, seconds

from softgrad_core import softmax_cross_entropy
from softgrad_core.loss.kernels import direct

SHAPES = ((200_000, 10), (20_000, 1_000), (150, 128_000))
DTYPES = ("float64", "float32")
FIELDS = ("probs", "loss", "grad_logits")
THREADS = 2
RUNS = 9
KERNELS = direct.KERNELS

BY_HAND = """
import sys, numpy as np
from scipy.special import log_softmax, softmax
a, y = np.load(sys.argv[1]), np.load(sys.argv[2])
probs, at = softmax(a, axis=1), (np.arange(len(a)), y)
loss, grad = -log_softmax(a, axis=1)[at], probs.copy()
grad[at] -= 1
np.savez(sys.argv[3], probs=probs, loss=loss, grad_logits=grad)
"""


def by_torch(a, y) -> Callable[[], object]:
    import torch

    torch.set_num_threads(THREADS)
    a, y = torch.from_numpy(a), torch.from_numpy(y)

    def compute():
        x = a.detach().requires_grad_(True)
        probs = torch.softmax(a, 1)
        loss = torch.nn.functional.cross_entropy(x, y, reduction="none")
        loss.sum().backward()
        return probs, loss, x.grad

    return compute


def by_jax(a, y) -> Callable[[], object]:
    import jax

    jax.config.update("jax_enable_x64", True)
    a, y = jax.numpy.asarray(a), jax.numpy.asarray(y)

    @jax.jit
    def compute(a, y):
        def total(a):
            loss = -jax.nn.log_softmax(a)[jax.numpy.arange(len(a)), y]
            return loss.sum(), loss

        (_, loss), grad = jax.value_and_grad(total, has_aux=True)(a)
        return jax.nn.softmax(a), loss, grad

    return lambda: jax.block_until_ready(compute(a, y))


def by_scipy(a, y) -> Callable[[], object]:
    from scipy.special import log_softmax, softmax

    at = np.arange(len(a)), y

    def compute():
        probs = softmax(a, axis=1)
        grad = probs.copy()
        grad[at] -= 1
        return probs, -log_softmax(a, axis=1)[at], grad

    return compute


def a_copy(a, _) -> Callable[[], object]:
    def copy():
        probs, grad = np.empty_like(a), np.empty_like(a)
        np.copyto(probs, a)
        np.copyto(grad, a)
        return probs, grad

    return copy


OTHERS = {
    "PyTorch": ("torch", by_torch),
    "JAX": ("jax", by_jax),
    "SciPy": ("scipy", by_scipy),
    "one copy": ("numpy", a_copy),
}


def measure() -> Iterator[Table]:
    """Yield the ratios, in memory and of whole processes."""
    yield from in_memory()
    yield of_options()
    yield from from_file_to_file()


def in_memory() -> Iterator[Table]:
    rows = [("array", "softgrad", *(f"{name} / softgrad" for name in OTHERS))]
    again = [("array", "softgrad", *(f"{name} / softgrad" for name in OTHERS))]
    for dtype in DTYPES:
        for shape in SHAPES:
            rng = np.random.default_rng(0)
            a = (rng.normal(size=shape) * 3).astype(dtype)
            y = rng.integers(shape[1], size=len(a))
            earlier = softmax_cross_entropy(a, y, fields=FIELDS)

            def ours(out=None, a=a, y=y):
                return softmax_cross_entropy(a, y, fields=FIELDS, threads=THREADS, out=out)

            timed = [ours, lambda ours=ours, earlier=earlier: ours(earlier)]
            there = [name for name, (m, _) in OTHERS.items() if importlib.util.find_spec(m)]
            timed += [OTHERS[name][1](a, y) for name in there]
            fresh, reused, *times = in_turns(RUNS, *(lambda one=one: called(one) for one in timed))
            of = dict(zip(there, times, strict=True))
            what = f"{dtype}, {shape[0]:,} x {shape[1]:,}"
            for table, mine in ((rows, fresh), (again, reused)):
                table.append(
                    (
                        what,
                        milliseconds(mine),
                        *(ratio(of[n], mine) if n in of else "not installed" for n in OTHERS),
                    )
                )
    title = f"Probabilities, losses and dL/da of arrays in memory, {THREADS} threads"
    yield Table(title, rows)
    yield Table(f"{title}, softgrad's written to those of an earlier call", again)


def of_options() -> Table:
    names = ("mean", "class weights", "label smoothing", "temperature", "soft targets")
    rows = [("array", "a label alone", *names, "a label, NumPy alone")]
    for dtype in DTYPES:
        for shape in SHAPES[:2]:
            rng = np.random.default_rng(0)
            a = (rng.normal(size=shape) * 3).astype(dtype)
            y, q = rng.integers(shape[1], size=len(a)), rng.dirichlet(np.ones(shape[1]), len(a))
            calls = (
                (y, {}),
                (y, {"reduction": "mean"}),
                (y, {"class_weights": rng.uniform(0.5, 2, shape[1])}),
                (y, {"label_smoothing": 0.1}),
                (y, {"temperature": 2.0}),
                (q, {}),
            )

            def timed(target, options, kernels=KERNELS, a=a):
                direct.KERNELS = kernels
                return called(
                    lambda: softmax_cross_entropy(
                        a, target, fields=FIELDS, threads=THREADS, **options
                    )
                )

            plain, *others = in_turns(
                5,
                *(lambda call=call, timed=timed: timed(*call) for call in calls),
                lambda y=y, timed=timed: timed(y, {}, {}),
            )
            what = f"{dtype}, {shape[0]:,} x {shape[1]:,}"
            rows.append((what, milliseconds(plain), *(ratio(other, plain) for other in others)))
    direct.KERNELS = KERNELS
    title = f"What options of the loss cost, {THREADS} threads, in times of a label alone"
    return Table(title, rows)


def from_file_to_file() -> Iterator[Table]:
    rows = [("command", "time", "ratio")]
    title = "Arrays from file to file, whole processes, float32, 20,000 x 1,000"
    with folder() as place:
        logits, labels, out = (str(Path(place, name)) for name in ("a.npy", "y.npy", "r.npz"))
        rng = np.random.default_rng(0)
        np.save(logits, (rng.normal(size=(20_000, 1_000)) * 3).astype(np.float32))
        np.save(labels, rng.integers(1_000, size=20_000))
        options = ["--target", labels, "--fields", ",".join(FIELDS), "-o", out]
        if importlib.util.find_spec("scipy") is None:
            rows.append(("SciPy", "not installed", ""))
        else:
            script = [sys.executable, "-c", BY_HAND, logits, labels, out]
            ours, theirs = in_turns(
                3, lambda: seconds([SOFTGRAD, logits, *options]), lambda: seconds(script)
            )
            rows.append(("softgrad a.npy --target y.npy -o r.npz", milliseconds(ours), "1"))
            rows.append(
                ("np.load, SciPy, np.savez", milliseconds(theirs), f"{ratio(theirs, ours)}")
            )
    yield Table(title, rows)
