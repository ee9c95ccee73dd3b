"""The compiled kernel gives the same bits on every processor; without it NumPy does the work."""

import platform
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.command import environment, run
from support.oracle import exact, ulps

from softgrad_core import InputError, softmax_cross_entropy
from softgrad_core.loss.cross_entropy import compute_rows
from softgrad_core.loss.from_options import objective_of
from softgrad_core.loss.kernels import direct
from softgrad_core.loss.logits import given_rows
from softgrad_core.loss.objective import Objective
from softgrad_core.loss.results import BLOCK_FIELDS, SoftmaxCrossEntropy, empty_results

FOLDER = Path(direct.__file__).parent
PACKAGE = FOLDER.parent.parent

FIELDS = ("probs", "loss", "grad_probs", "grad_logits")

OPTIONS = [
    {},
    {"label_smoothing": 0.1},
    {"softcap": 5.0},
    {"z_loss_scale": 0.1, "temperature": 0.5},
    {"label_smoothing": 0.1, "softcap": 5.0, "z_loss_scale": 0.1},
]


@pytest.fixture
def compiled():
    if not direct.KERNELS:
        pytest.skip("there is no compiled kernel")


def test_the_kernel_is_compiled_where_there_is_a_compiler():
    if shutil.which("gcc") is None or platform.machine() not in {"x86_64", "aarch64"}:
        pytest.skip("no GCC, or a processor that the kernel is not made for")
    why = "install the project again: the library is built from another direct.c, or not at all"
    assert direct.KERNELS, why


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1, "temperature": 0.7}])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_results_have_the_same_bits_on_every_processor(dtype, options, monkeypatch):
    others = direct.all_kernels()[1:]
    if not others:
        pytest.skip("there is one kernel that this processor can run")
    for classes in (2, 3, 10, 64, 65, 129, 2047, 2049, 5000):
        rng = np.random.default_rng(classes)
        scales = rng.choice([0.01, 3.0, 30.0, 150.0], size=(67, 1))
        logits = (rng.normal(size=(67, classes)) * scales).astype(dtype)
        targets = rng.integers(classes, size=len(logits))
        wanted = softmax_cross_entropy(logits, targets, **options)
        for kernels in others:
            with monkeypatch.context() as patch:
                patch.setattr(direct, "KERNELS", kernels)
                got = softmax_cross_entropy(logits, targets, **options)
            for name in FIELDS:
                assert getattr(got, name).tobytes() == getattr(wanted, name).tobytes()


def test_a_library_built_from_another_source_is_not_used(tmp_path, monkeypatch):
    for name in FOLDER.iterdir():
        if name.suffix in {".c", ".so"}:
            shutil.copy(name, tmp_path)
    with (tmp_path / "direct.c").open("a") as source:
        source.write("/* It has changed since. */\n")
    monkeypatch.setattr(direct, "__file__", str(tmp_path / "direct.py"))
    assert direct.all_kernels() == []
    (tmp_path / "direct.c").unlink()
    assert direct.all_kernels() == []


def test_the_command_works_without_the_compiled_kernel(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "softgrad_core", ignore=shutil.ignore_patterns("*.so"))
    # `python -m` imports from its working directory first.
    version = run("--version", cwd=tmp_path, is_new=True).text
    assert version.endswith(", without the compiled kernel\n")
    logits = [2.0, -1.0, 0.1, 700.0, 700.5]
    arguments = [*map(str, logits), "-t", "4", "--json", "--check"]
    [record] = run(*arguments, cwd=tmp_path, is_new=True).records
    wanted = exact(logits, 4)
    assert record["check"]["passed"] is True
    assert max(map(ulps, record["probs"], wanted.probs)) < 4
    assert max(map(ulps, record["grad_logits"], wanted.grad_logits)) < 4


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("classes", [2, 9, 65, 2050])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_nothing_is_written_outside_the_results(classes, dtype, options):
    rng = np.random.default_rng(classes)
    logits = rng.normal(size=(21, classes)).astype(dtype)
    targets = rng.integers(classes, size=len(logits))
    wide = {name: np.full((25, classes), 7.0, dtype) for name in BLOCK_FIELDS}
    inner = {name: block[2:-2] for name, block in wide.items()}
    out = SoftmaxCrossEntropy(loss=None, **inner)
    softmax_cross_entropy(logits, targets, out=out, **options)
    for block in wide.values():
        assert (block[:2] == 7.0).all()
        assert (block[-2:] == 7.0).all()
        assert (block[2:-2] != 7.0).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_logits_need_not_be_aligned(dtype):
    logits = np.random.default_rng(1).normal(size=(30, 70)).astype(dtype)
    shifted = np.frombuffer(b"\0" + logits.tobytes(), dtype, offset=1).reshape(logits.shape)
    assert not shifted.flags.aligned
    for name in FIELDS:
        wanted = getattr(softmax_cross_entropy(logits, np.arange(30)), name)
        got = getattr(softmax_cross_entropy(shifted, np.arange(30)), name)
        np.testing.assert_array_equal(got, wanted)


def test_out_may_have_any_layout_but_must_be_writable():
    logits = np.random.default_rng(2).normal(size=(30, 70))
    wanted = softmax_cross_entropy(logits, np.arange(30))
    strided = {name: np.zeros((30, 140))[:, ::2] for name in BLOCK_FIELDS}
    got = softmax_cross_entropy(
        logits, np.arange(30), out=SoftmaxCrossEntropy(loss=None, **strided)
    )
    np.testing.assert_array_equal(got.grad_logits, wanted.grad_logits)
    assert np.shares_memory(got.grad_logits, strided["grad_logits"])
    wanted.probs.flags.writeable = False
    before = wanted.probs.copy()
    with pytest.raises(ValueError, match="read-only"):
        softmax_cross_entropy(-logits, np.arange(30), out=wanted)
    np.testing.assert_array_equal(wanted.probs, before)


def test_float32_logits_can_have_results_of_float64():
    logits = np.random.default_rng(3).normal(size=(30, 7)).astype(np.float32)
    rows, objective = given_rows(logits), objective_of(np.arange(30) % 7, logits.shape)
    double = given_rows(logits.astype(np.float64))
    wanted = compute_rows(double, objective)
    got = compute_rows(type(rows)(rows.values, np.dtype(np.float64), rows.shape), objective)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name))


@pytest.mark.parametrize("classes", [5, 40_000])
def test_a_loss_computed_alone_has_the_same_bits(classes):
    logits = np.random.default_rng(4).normal(size=(2, classes)).astype(np.float32)
    rows, objective = given_rows(logits), objective_of([0, 1], logits.shape)
    double = type(rows)(rows.values, np.dtype(np.float64), rows.shape)
    alone, whole = compute_rows(double, objective, ["loss"]), compute_rows(double, objective)
    np.testing.assert_array_equal(alone.loss, whole.loss)


def test_logits_in_column_order_have_the_same_results():
    logits = np.random.default_rng(5).normal(size=(30, 7))
    rows, objective = given_rows(logits), objective_of(np.arange(30) % 7, logits.shape)
    turned = type(rows)(np.asfortranarray(logits), rows.dtype, rows.shape)
    got, wanted = compute_rows(turned, objective), compute_rows(rows, objective)
    np.testing.assert_array_equal(got.probs, wanted.probs)


def test_out_that_overlaps_the_logits_or_itself_is_refused():
    logits = np.zeros((4, 3))
    result = softmax_cross_entropy(logits, [0, 1, 2, 0])
    over = replace(result, probs=logits)
    with pytest.raises(
        InputError, match=r"^expected out.probs in memory of its own, got some of t"
    ):
        softmax_cross_entropy(logits, [0, 1, 2, 0], out=over)
    twice = replace(result, grad_logits=result.probs)
    with pytest.raises(InputError, match=r"out.grad_logits in memory .* got some of out.probs"):
        softmax_cross_entropy(logits, [0, 1, 2, 0], out=twice)


@pytest.mark.usefixtures("compiled")
def test_the_kernel_leaves_rows_whose_label_is_no_class():
    out = empty_results((5, 3), np.dtype(np.float64), FIELDS, None)
    labels = np.array([0, 3, -1, 2, np.iinfo(np.intp).min])
    assert direct.compute_direct(np.zeros((5, 3)), Objective(labels), out).tolist() == [1, 2, 4]


def test_labels_overwritten_during_the_computation_do_no_harm():
    logits, memory = np.ones((3_000, 10)), np.zeros(30_000)
    labels = memory[:3_000].view(np.int64)
    wanted = softmax_cross_entropy(logits, labels)
    over = replace(wanted, probs=memory.reshape(logits.shape))
    with suppress(IndexError):
        softmax_cross_entropy(logits, labels, out=over)
    again = softmax_cross_entropy(logits, np.zeros(3_000, int))
    np.testing.assert_array_equal(again.probs, wanted.probs)


def test_nothing_is_written_after_ctrl_c():
    script = """
import os, signal, sys, threading, time
import numpy as np
from softgrad_core.loss import cross_entropy
from softgrad_core.loss.kernels.direct import compute_direct

def compute_slowly(rows, objective, out):
    is_caller = threading.current_thread() is threading.main_thread()
    if is_caller == (sys.argv[1] == "the caller's thread"):
        time.sleep(0.2)
    return compute_direct(rows, objective, out)

cross_entropy.compute_direct = compute_slowly
logits, targets = np.zeros((200, 10_000)), np.zeros(200, int)
out = cross_entropy.softmax_cross_entropy(logits, targets, fields=["probs"], threads=1)
for delay in [0.0, 0.001, 0.002, 0.1]:
    out.probs.fill(-1.0)
    timer = threading.Timer(delay, os.kill, [os.getpid(), signal.SIGINT])
    try:
        timer.start()
        cross_entropy.softmax_cross_entropy(logits, targets, fields=["probs"], out=out, threads=4)
        time.sleep(60)
    except KeyboardInterrupt:
        before = out.probs.copy()
        time.sleep(0.3)
        print(np.array_equal(out.probs, before))
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, slow], stdout=subprocess.PIPE, env=environment()
        )
        for slow in ("the caller's thread", "the others")
    ]
    assert [one.communicate()[0] for one in processes] == [b"True\n" * 4] * 2


def test_the_work_is_done_where_threads_cannot_be_started(monkeypatch):
    logits, targets = np.random.default_rng(3).normal(size=(200, 10_000)), np.arange(200)
    wanted = softmax_cross_entropy(logits, targets)
    started = []

    def start(thread):
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start_as_ever(thread)

    start_as_ever = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", start)
    got = softmax_cross_entropy(logits, targets, threads=4)
    assert started
    np.testing.assert_array_equal(got.grad_logits, wanted.grad_logits)


def test_out_may_interleave_its_fields():
    logits, memory = np.ones((5, 3)), np.zeros((5, 6))
    out = softmax_cross_entropy(logits, np.zeros(5, int), fields=["probs", "grad_logits"])
    out = replace(out, probs=memory[:, :3], grad_logits=memory[:, 3:])
    softmax_cross_entropy(logits, np.zeros(5, int), fields=["probs", "grad_logits"], out=out)
    assert memory[0].round(3).tolist() == [0.333, 0.333, 0.333, -0.667, 0.333, 0.333]


@pytest.mark.parametrize("kernels", ["compiled", "none"])
def test_the_kernel_leaves_rows_of_unusual_size(kernels, monkeypatch):
    if kernels == "none":
        monkeypatch.setattr(direct, "KERNELS", {})
    elif not direct.KERNELS:
        pytest.skip("there is no compiled kernel")
    logits = np.array(
        [
            [1.0, 2.0, 3.0],
            [1.0, -np.inf, -900.0],
            [-np.inf, 0.0, 0.0],
            [np.nan, 0.0, 0.0],
            [0.0, np.inf, 0.0],
            [400.0, 0.0, 0.0],
            [-400.0, -400.0, -400.0],
            [1.0, -np.inf, 1.0],
            [1.7e308, -1.7e308, 1.7e308],
        ]
    )
    out = empty_results(logits.shape, np.dtype(np.float64), FIELDS, None)
    with np.errstate(all="ignore"):
        left = direct.compute_direct(logits, Objective(np.zeros(len(logits), np.intp)), out)
    usual = [0, 7] if kernels == "compiled" else [0, 5, 7]
    assert left.tolist() == [row for row in range(len(logits)) if row not in usual]
