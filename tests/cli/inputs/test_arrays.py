"""Arrays in .npy and .npz files: their types, their targets, and files larger than memory."""

import numpy as np
import pytest
from support.arrays import make, results_of
from support.command import peak_of, run
from support.oracle import exact
from support.sweeps import combined

from softgrad_core import softmax_cross_entropy

FIELDS = ("probs", "loss", "grad_probs", "grad_logits")


@pytest.fixture
def folder(tmp_path):
    logits, targets = make()
    np.save(tmp_path / "logits.npy", logits)
    np.save(tmp_path / "labels.npy", targets)
    return tmp_path


@pytest.mark.parametrize(
    ("dtype", "jobs"),
    combined(("float64", "float32", "float16", "int32", ">f8"), ("1", "2", "0")),
)
def test_results_equal_the_library_s_and_have_the_type_of_the_logits(tmp_path, dtype, jobs):
    logits, targets = make(30_000, 20, dtype)
    np.save(tmp_path / "a.npy", logits)
    np.save(tmp_path / "y.npy", targets)
    ended = run("a.npy", "--target", "y.npy", "-o", "r.npz", "-j", jobs, cwd=tmp_path)
    assert (ended.status, ended.out, ended.err) == (0, b"", "")
    results = results_of(tmp_path / "r.npz")
    wanted = softmax_cross_entropy(logits, targets)
    assert list(results) == list(FIELDS)
    for name in FIELDS:
        assert results[name].dtype == wanted.probs.dtype
        np.testing.assert_array_equal(results[name], getattr(wanted, name))


def bfloat16_of(values):
    """Return the bits of the numbers rounded to bfloat16, half to even."""
    bits = np.frombuffer(np.float32(values).tobytes(), np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def test_bfloat16_is_read_and_written_as_uint16(tmp_path):
    logits, targets = make(50, 6, "float32")
    raw = bfloat16_of(logits).reshape(logits.shape)
    np.save(tmp_path / "a.npy", raw)
    np.save(tmp_path / "y.npy", targets)
    arguments = ["a.npy", "-t", "y.npy", "-o", "r.npz"]
    ended = run(*arguments, cwd=tmp_path)
    assert ended.status == 3
    assert ended.err == (
        "softgrad: a.npy: expected logits as numbers, got uint16; "
        "if these are the bits of bfloat16, use --dtype bfloat16\n"
        "softgrad: r.npz is not written\n"
    )
    assert run(*arguments, "--dtype", "bfloat16", cwd=tmp_path).status == 0
    results = results_of(tmp_path / "r.npz")
    values = (raw.astype(np.uint32) << 16).view(np.float32)
    for row in range(len(raw)):
        wanted = exact(values[row].astype(float).tolist(), int(targets[row]))
        np.testing.assert_array_equal(
            results["probs"][row], bfloat16_of([float(p) for p in wanted.probs])
        )
    np.savez(tmp_path / "c.npz", logits=raw, target=targets, grad_logits=results["grad_logits"])
    ended = run("verify", "c.npz", "--dtype", "bfloat16", "--ulp", "1", cwd=tmp_path)
    assert ended.status == 0
    assert "50 of 50 passed, worst 0.4" in ended.err


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_has_the_targets_beside_the_logits(tmp_path, save):
    logits, targets = make()
    save(tmp_path / "a.npz", logits=np.asfortranarray(logits), target=targets)
    assert run("a.npz", "-o", "r.npz", cwd=tmp_path).status == 0
    wanted = softmax_cross_entropy(logits, targets)
    np.testing.assert_array_equal(results_of(tmp_path / "r.npz")["probs"], wanted.probs)


def test_one_class_may_be_the_target_of_all_rows(folder):
    assert run("logits.npy", "-t", "3", "-o", "r.npz", cwd=folder).status == 0
    wanted = softmax_cross_entropy(np.load(folder / "logits.npy"), np.full(500, 3))
    np.testing.assert_array_equal(results_of(folder / "r.npz")["loss"], wanted.loss)


def test_no_rows_give_no_results(tmp_path):
    np.savez(tmp_path / "a.npz", logits=np.zeros((0, 3)), target=np.zeros(0, int))
    assert run("a.npz", "-o", "r.npz", cwd=tmp_path).status == 0
    assert results_of(tmp_path / "r.npz")["probs"].shape == (0, 3)
    assert run("a.npz", "-o", "r.npz", "--reduction", "mean", cwd=tmp_path).status == 0
    assert np.isnan(results_of(tmp_path / "r.npz")["loss"])


def test_the_loss_of_float32_rows_is_summed_before_it_is_rounded(tmp_path):
    logits, targets = make(40_000, 12, "float32")
    targets[::7] = -100
    np.savez(tmp_path / "a.npz", logits=logits, target=targets)
    options = ["--reduction", "mean", "--ignore-index", "-100"]
    assert run("a.npz", "-o", "r.npz", *options, cwd=tmp_path).status == 0
    wanted = softmax_cross_entropy(logits, targets, reduction="mean", ignore_index=-100)
    results = results_of(tmp_path / "r.npz")
    for name in FIELDS:
        assert results[name].dtype == np.float32
        np.testing.assert_array_equal(results[name], getattr(wanted, name))


def test_a_sum_over_an_unusable_row_is_nan(tmp_path):
    logits, targets = make(50)
    logits[7, 3] = np.nan
    np.savez(tmp_path / "a.npz", logits=logits, target=targets)
    ended = run("a.npz", "-o", "r.npz", "--reduction", "sum", cwd=tmp_path)
    assert ended.status == 3
    assert np.isnan(results_of(tmp_path / "r.npz")["loss"])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("is_soft", [False, True])
def test_options_mean_the_same_as_in_the_library(tmp_path, reduction, is_soft):
    logits, targets = make(40_000, 12)
    if is_soft:
        targets = np.random.default_rng(1).dirichlet(np.ones(12), size=len(logits))
    np.save(tmp_path / "a.npy", logits)
    np.save(tmp_path / "y.npy", targets)
    weights = (np.arange(12) / 4).tolist()
    ended = run(
        *("a.npy", "-t", "y.npy", "-o", "r.npz", "--reduction", reduction, "--temperature", "2"),
        *("--label-smoothing", "0.1", "--class-weights", ",".join(map(str, weights))),
        cwd=tmp_path,
    )
    assert (ended.status, ended.err) == (0, "")
    wanted = softmax_cross_entropy(
        logits,
        targets,
        reduction=reduction,
        temperature=2.0,
        label_smoothing=0.1,
        class_weights=weights,
    )
    results = results_of(tmp_path / "r.npz")
    assert results["loss"].shape == ()
    np.testing.assert_allclose(results["loss"], wanted.loss, rtol=1e-15)
    np.testing.assert_array_equal(results["grad_logits"], wanted.grad_logits)


def test_a_mean_of_bfloat16_is_rounded_to_bfloat16(tmp_path):
    raw = bfloat16_of(np.float32([[1.0, 2.0], [0.5, 0.25]])).reshape(2, 2)
    np.savez(tmp_path / "a.npz", logits=raw, target=[0, 1])
    options = ["--dtype", "bfloat16", "--reduction", "mean"]
    assert run("a.npz", "-o", "r.npz", *options, cwd=tmp_path).status == 0
    wanted = softmax_cross_entropy([[1.0, 2.0], [0.5, 0.25]], [0, 1], reduction="mean").loss
    [bits] = bfloat16_of([float(wanted)])
    assert results_of(tmp_path / "r.npz")["loss"] == bits


def test_a_mean_is_over_the_rows_whose_label_is_a_class(tmp_path):
    logits, targets = make()
    targets[7] = 99
    weights = np.linspace(1.0, 2.0, 12)
    np.savez(tmp_path / "a.npz", logits=logits, target=targets, class_weights=weights)
    assert run("a.npz", "-o", "r.npz", "--reduction", "mean", cwd=tmp_path).status == 3
    others = np.arange(500) != 7
    wanted = softmax_cross_entropy(
        logits[others], targets[others], class_weights=weights, reduction="mean"
    )
    results = results_of(tmp_path / "r.npz")
    np.testing.assert_array_equal(results["grad_logits"][others], wanted.grad_logits)
    assert np.isnan(results["loss"])


def test_an_overflow_in_the_type_of_the_logits_is_infinite_without_a_warning(tmp_path):
    logits = np.full((3, 2), [0.0, 60000.0], np.float16)
    np.savez(tmp_path / "a.npz", logits=logits, target=np.zeros(3, int))
    ended = run("a.npz", "-o", "r.npz", "--reduction", "sum", cwd=tmp_path)
    assert (ended.status, ended.err) == (0, "")
    assert np.isinf(results_of(tmp_path / "r.npz")["loss"])


def test_options_in_the_file_outrank_those_of_the_command(tmp_path):
    logits, targets = make()
    weights = np.random.default_rng(2).uniform(0.5, 2.0, size=12)
    options = {"label_smoothing": 0.1, "temperature": 2.0, "reduction": "mean"}
    np.savez(tmp_path / "a.npz", logits=logits, target=targets, class_weights=weights, **options)
    # The file's temperature outranks the option, as a record's does.
    ended = run("a.npz", "-o", "r.npz", "--temperature", "3", "--ignore-index", "4", cwd=tmp_path)
    assert (ended.status, ended.err) == (0, "")
    wanted = softmax_cross_entropy(
        logits, targets, class_weights=weights, ignore_index=4, **options
    )
    results = results_of(tmp_path / "r.npz")
    assert results["loss"] == pytest.approx(float(wanted.loss), rel=1e-15)
    np.testing.assert_array_equal(results["grad_logits"], wanted.grad_logits)


def test_unusable_rows_become_nan_and_are_reported(folder):
    logits, targets = make()
    logits[7, 3] = np.nan
    logits[8] = -np.inf
    targets[300] = 12
    np.save(folder / "logits.npy", logits)
    np.save(folder / "labels.npy", targets)
    ended = run("logits.npy", "-t", "labels.npy", "-o", "r.npz", cwd=folder)
    assert ended.status == 3
    assert ended.err == (
        "logits.npy: row 7: logits[3]: expected a finite number or -Infinity, got NaN\n"
        "logits.npy: row 8: all logits are -Infinity: with every class masked there is no "
        "softmax\n"
        "logits.npy: row 300: target 12 is outside 0..11; classes are numbered from 0\n"
        "softgrad: 500 records: 3 rejected\n"
    )
    results = results_of(folder / "r.npz")
    good = np.setdiff1d(range(500), [7, 8, 300])
    wanted = softmax_cross_entropy(logits[good], targets[good])
    for name in FIELDS:
        np.testing.assert_array_equal(results[name][good], getattr(wanted, name))
        assert np.isnan(results[name][[7, 8, 300]]).all()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("logits.npy -o r.npz", 2, "expected the targets as --target labels.npy"),
        ("logits.npy -t labels.npy", 2, "arrays need a file for the results: -o results.npz"),
        ("logits.npy rows.jsonl -o r", 2, "expected arrays or JSON, got 'logits.npy' and"),
        ("logits.npy labels.npy -o r.npz", 2, "several files of arrays need --output-dir"),
        (
            "logits.npy -t labels.npy -o r.npz -f html",
            2,
            "writes arrays as npz, safetensors, pt, not as html",
        ),
        (
            "labels.npy -t labels.npy -o r.npz",
            3,
            "expected logits of shape (N, C), or with more axes before, got (500,)",
        ),
        ("logits.npy -t short.npy -o r.npz", 3, "expected targets of shape (500,), or (500, 12)"),
        ("text.npy -t labels.npy -o r.npz", 3, "expected logits as numbers, at most float64"),
        ("broken.npy -t labels.npy -o r.npz", 74, "broken.npy: expected arrays: it breaks"),
        ("junk.npz -o r.npz", 74, "junk.npz: expected arrays: it is not a .npz file"),
        ("junk.npy -t 0 -o r.npz", 74, "junk.npy: expected arrays: the magic string is"),
        ("empty.npy -t 0 -o r.npz", 74, "empty.npy: expected arrays: it is empty"),
        ("none.npy -t 0 -o r.npz", 74, "none.npy: No such file or directory"),
        ("pickled.npy -t 0 -o r.npz", 74, "got Python objects"),
        ("other.npz -o r.npz", 3, 'expected an array "logits", got x, y'),
        ("verify logits.npy -t labels.npy", 3, "expected claims to verify, any of probs"),
        ("logits.npy -t labels.npy -o r.npz --class-weights 1,2", 3, "one of class_weights for"),
        (
            f"logits.npy -t 0 -o r.npz --reduction mean --class-weights 1e308{',1' * 11}",
            3,
            "logits.npy: the class_weights of all labels have a sum that float64 cannot hold",
        ),
        ("logits.npy -t float.npy -o r.npz", 3, "expected targets as whole numbers, got float64"),
        ("logits.npy -t 12 -o r.npz", 3, "logits.npy: target 12 is outside 0..11"),
        ("narrow.npy -t labels.npy -o r.npz", 3, "expected at least 2 logits, got 1"),
        ("unlabelled.npz -o r.npz", 2, 'expected "target" in unlabelled.npz, got logits, y'),
        ("logits.npy -t labels.npy -o none/r.npz", 74, "none/r.npz: No such file or directory"),
        ("logits.npy -t labels.npy -o /dev/null", 74, "/dev/null: arrays are written to a"),
        ("logits.npy -t cat -o r.npz", 2, "expected --target to be a class or a file of arrays"),
        (
            "logits.npy -t labels.npy -o ./logits.npy",
            2,
            "softgrad writes no .npy files; it writes",
        ),
        (
            "rows.npz -o ./rows.npz",
            2,
            "refusing to overwrite rows.npz: it is one of",
        ),
        ("rows.npz -t 0 --output-dir .", 2, "refusing to overwrite rows.npz: it is"),
        ("logits.npy -t 0 -o r.npz --dtype float32", 2, "--dtype float32 is for 'softgrad verify'"),
        (
            "logits.npy -t 0 -o r.npz --json",
            2,
            "writes arrays as npz, safetensors, pt, not as jsonl",
        ),
        (
            "logits.npy -t 0 -o r.npz -f table",
            2,
            "writes arrays as npz, safetensors, pt, not as table",
        ),
        (
            "verify wide.npz mixed.npz",
            3,
            "mixed.npz: expected probs of one dtype in all files, or --dtype, got float64, float16",
        ),
        ("half.npy -t 0 -o r.npz --dtype bfloat16", 3, "half.npy: expected logits as the bits of"),
        ("logits.npy -t mask.npy -o r.npz", 3, "expected targets as probabilities, got bool"),
        ("odd.npz -o r.npz", 3, "odd.npz: expected a temperature above 0, got -1.0"),
        ("strange.npz -o r.npz", 3, "strange.npz: expected a reduction that is mean, sum or none"),
        ("verify none.npz --reduction mean", 3, "none.npz: expected rows of logits for the mean"),
        ("verify strange.npz", 3, "strange.npz: expected a reduction that is mean, sum or none"),
        ("verify mean.npz", 3, "got (); use --reduction mean or sum if it is the loss of all rows"),
    ],
)
def test_unusable_arrays_are_reported_with_the_reason(folder, arguments, status, message):
    np.save(folder / "short.npy", np.zeros(3, int))
    np.save(folder / "float.npy", np.zeros(500))
    np.save(folder / "narrow.npy", np.zeros((500, 1)))
    np.savez(folder / "unlabelled.npz", logits=np.zeros((5, 3)), y=np.zeros(5, int))
    odd = {"logits": np.zeros((2, 3)), "target": np.zeros(2, int), "loss": np.zeros(2)}
    np.savez(folder / "strange.npz", reduction=3, **odd)
    none = {"logits": np.zeros((0, 3)), "target": np.zeros(0, int), "loss": 0.0}
    np.savez(folder / "none.npz", **none)
    np.save(folder / "text.npy", np.full((500, 3), "a"))
    np.save(folder / "pickled.npy", np.full((5, 3), None), allow_pickle=True)
    np.savez(folder / "other.npz", x=np.zeros(3), y=np.zeros(3))
    (folder / "rows.jsonl").write_text('{"logits": [0, 0], "target": 1}\n')
    np.save(folder / "mask.npy", np.ones((500, 12), bool))
    np.save(folder / "half.npy", np.zeros((5, 3), np.float16))
    rows = {"logits": np.zeros((5, 3)), "target": np.zeros(5, int)}
    np.savez(folder / "rows.npz", **rows)
    np.savez(folder / "wide.npz", **rows, probs=np.zeros((5, 3)))
    np.savez(folder / "mixed.npz", **rows, loss=np.zeros(5), probs=np.zeros((5, 3), np.float16))
    np.savez(folder / "odd.npz", **rows, temperature=-1.0)
    np.savez(folder / "mean.npz", **rows, loss=1.0)
    (folder / "broken.npy").write_bytes((folder / "logits.npy").read_bytes()[:-1])
    (folder / "junk.npz").write_bytes(b"junk" * 99)
    (folder / "junk.npy").write_bytes(b"junk" * 99)
    (folder / "empty.npy").write_bytes(b"")
    ended = run(*arguments.split(), cwd=folder)
    assert (ended.status, message in ended.err, ended.err) == (status, True, ended.err)
    assert not (folder / "r.npz").exists()


@pytest.mark.parametrize("save", [np.save, np.savez])
def test_arrays_in_place_of_json_are_recognised(tmp_path, save):
    logits, _ = make()
    with (tmp_path / "logits.dat").open("wb") as file:
        save(file, logits)
    what = "NumPy arrays" if save is np.save else "a ZIP archive, as .npz and .pt are"
    expected = (
        f"expected JSON, got {what}; arrays are read from files whose names end in "
        ".npy, .npz, .safetensors, .pt, .pth"
    )
    named = run("logits.dat", cwd=tmp_path)
    piped = run(stdin=(tmp_path / "logits.dat").read_bytes())
    for ended, source in ((named, "logits.dat"), (piped, "<stdin>")):
        [record] = ended.records
        assert record["error"]["code"] == "arrays-as-json"
        assert ended.err.startswith(f"{source}:1: {expected}\n")
        assert ended.status == 3


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(3, 0), (0, 0), (3, 1)])
def test_logits_of_no_or_one_class_are_refused(tmp_path, shape, order):
    np.save(tmp_path / "a.npy", np.zeros(shape, order=order))
    ended = run("a.npy", "-t", "0", "-o", "r.npz", cwd=tmp_path)
    assert (ended.status, "expected at least 2 logits" in ended.err) == (3, True), ended.err


def test_memory_does_not_grow_with_the_file(tmp_path):
    peaks = []
    for count in (30_000, 300_000):
        np.save(tmp_path / "a.npy", np.zeros((count, 100), dtype=np.float32))
        np.save(tmp_path / "y.npy", np.zeros(count, dtype=np.int32))
        peaks.append(peak_of("a.npy", "-t", "y.npy", "-o", "r.npz", "-j", "2", cwd=tmp_path))
    assert peaks[1] < peaks[0] + 30


def test_a_sum_of_losses_that_overflows_is_infinite(tmp_path):
    logits = np.full((3, 2), 1.5e308) * [1, -1]
    np.savez(tmp_path / "a.npz", logits=logits / 2, target=np.ones(3, int))
    ended = run("a.npz", "-o", "r.npz", "--reduction", "sum", cwd=tmp_path)
    assert (ended.status, ended.err) == (0, "")
    assert results_of(tmp_path / "r.npz")["loss"] == np.inf
