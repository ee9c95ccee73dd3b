"""Arrays can do what records can: be checked, filtered, stopped at a failure, and explained."""

import numpy as np
import pytest
from support.arrays import results_of
from support.command import run

from softgrad_core import softmax_cross_entropy

FIELDS = ("probs", "loss", "grad_probs", "grad_logits")

RNG = np.random.default_rng(3)
LOGITS, LABELS = RNG.normal(size=(300, 6)) * 3, RNG.integers(6, size=300)
IMPOSSIBLE = ["--check", "--tolerance", "1e-30"]


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "logits.npy", LOGITS)
    np.save(tmp_path / "labels.npy", LABELS)
    return tmp_path


COMPUTE = ["logits.npy", "-t", "labels.npy", "-o", "r.npz"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", [[], ["--reduction", "mean"]])
def test_a_check_passes_and_changes_no_result(folder, dtype, options):
    np.save(folder / "logits.npy", LOGITS.astype(dtype))
    ended = run(*COMPUTE, *options, "--check", cwd=folder)
    assert (ended.status, ended.err) == (0, "")
    reduction = {"reduction": "mean"} if options else {}
    wanted = softmax_cross_entropy(LOGITS.astype(dtype), LABELS, **reduction)
    results = results_of(folder / "r.npz")
    for name in FIELDS:
        np.testing.assert_array_equal(results[name], getattr(wanted, name))


def test_a_check_that_fails_names_the_rows_and_the_results_are_there(folder):
    ended = run(*COMPUTE, *IMPOSSIBLE, cwd=folder)
    assert ended.status == 1
    lines = ended.err.splitlines()
    assert lines[0] == "logits.npy: row 0: the numerical check failed"
    assert lines[-1] == "softgrad: 300 records: 300 failed the check"
    assert len(results_of(folder / "r.npz")["loss"]) == 300


def test_quiet_keeps_only_the_rows_that_fail_or_are_rejected_and_says_which(folder):
    logits = LOGITS.copy()
    logits[7, 2] = np.nan
    np.save(folder / "logits.npy", logits)
    assert run(*COMPUTE, "--check", "--only-failures", cwd=folder).status == 3
    results = results_of(folder / "r.npz")
    assert results["row"].tolist() == [7]
    assert np.isnan(results["grad_logits"]).all()
    assert run(*COMPUTE, *IMPOSSIBLE, "--only-failures", "--fields", "loss", cwd=folder).status == 3
    results = results_of(folder / "r.npz")
    assert sorted(results) == ["loss", "row"]
    assert results["row"].tolist() == [*range(300)]


def test_quiet_leaves_the_loss_of_a_batch_as_it_is(folder):
    options = ["--reduction", "sum", "--check"]
    assert run(*COMPUTE, *options, "--only-failures", cwd=folder).status == 0
    results = results_of(folder / "r.npz")
    assert results["loss"] == softmax_cross_entropy(LOGITS, LABELS, reduction="sum").loss
    assert results["row"].size == 0


def test_fail_fast_stops_at_the_first_row_and_leaves_the_results_as_they_were(folder):
    (folder / "r.npz").write_bytes(b"before")
    logits = LOGITS.copy()
    logits[[7, 9], 2] = np.nan
    np.save(folder / "logits.npy", logits)
    ended = run(*COMPUTE, "--fail-fast", cwd=folder)
    assert ended.status == 3
    assert "row 7" in ended.err
    assert "row 9" not in ended.err
    assert (folder / "r.npz").read_bytes() == b"before"


def test_one_row_is_explained_as_its_numbers_are(folder):
    of_row = run("explain", "logits.npy", "-t", "labels.npy", "--row", "17", cwd=folder)
    numbers = map(repr, LOGITS[17].tolist())
    of_numbers = run("explain", *numbers, "-t", str(LABELS[17]))
    assert (of_row.status, of_row.text) == (0, of_numbers.text)


def test_a_row_is_explained_with_the_options_in_the_file_and_of_the_command(folder):
    np.savez(folder / "a.npz", logits=LOGITS, target=LABELS, temperature=2.0)
    options = ["--row", "0", "--label-smoothing", "0.1", "--json"]
    [record] = run("explain", "a.npz", *options, cwd=folder).records
    assert (record["temperature"], record["label_smoothing"]) == (2.0, 0.1)
    assert record["loss"] == pytest.approx(
        float(
            softmax_cross_entropy(LOGITS[0], LABELS[0], temperature=2.0, label_smoothing=0.1).loss
        )
    )


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("explain logits.npy -t labels.npy", 2, "'softgrad explain' needs --row N"),
        ("explain logits.npy -t labels.npy --row 300", 3, "expected --row from 0 to 299, got 300"),
        ("explain logits.npy -t labels.npy --row x", 2, "expected --row to be a whole number"),
        ("explain logits.npy labels.npy --row 1", 2, "--row needs one file"),
        ("explain logits.npy -t labels.npy --row 1 -f npz", 2, "not as npz"),
        (
            "verify logits.npy -t labels.npy -f npz",
            2,
            "as table, jsonl, markdown, pandoc, latex, html, not as npz",
        ),
    ],
)
def test_what_cannot_be_done_with_arrays_is_said(folder, arguments, status, message):
    ended = run(*arguments.split(), cwd=folder)
    assert (ended.status, message in ended.err, ended.err) == (status, True, ended.err)


def test_each_array_of_claims_is_held_to_its_own_type(folder):
    exact = softmax_cross_entropy(LOGITS, LABELS)
    claims = {
        "loss": exact.loss.astype(np.float32),
        "grad_logits": exact.grad_logits.astype(np.float16),
    }
    np.savez(folder / "mixed.npz", logits=LOGITS, target=LABELS, **claims)
    ended = run("verify", "mixed.npz", cwd=folder)
    assert ended.status == 0
    loss, gradient, total = ended.err.splitlines()
    assert "ulp of float32" in loss
    assert "ulp of float16" in gradient
    assert total.endswith("(a claim passes where rounding in its type explains its error)")
    assert run("verify", "mixed.npz", "--arithmetic", "float32", cwd=folder).status == 0


def test_padding_and_a_denominator_mean_the_same_for_arrays_as_in_python(tmp_path):
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(40, 9))
    logits[:, 6:] = [np.nan, np.inf, 5.0]
    labels = rng.integers(6, size=40)
    np.savez(tmp_path / "x.npz", logits=logits, target=labels)
    options = {"num_classes": 6, "denominator": 7.0, "loss_scale": 2.0}
    words = ("--num-classes", "6", "--denominator", "7", "--loss-scale", "2")
    ended = run(str(tmp_path / "x.npz"), *words, "-o", str(tmp_path / "r.npz"))
    assert (ended.status, ended.err) == (0, "")
    expected = softmax_cross_entropy(logits, labels, **options)
    plain = softmax_cross_entropy(logits[:, :6], labels, reduction="sum")
    assert float(expected.loss) == pytest.approx(float(plain.loss) * 2 / 7, rel=1e-14)
    with np.load(tmp_path / "r.npz") as got:
        assert got["loss"] == expected.loss
        np.testing.assert_array_equal(got["grad_logits"], expected.grad_logits)
        assert not got["probs"][:, 6:].any()
        claims = {name: got[name] for name in got}
    np.savez(tmp_path / "claims.npz", logits=logits, target=labels, **claims)
    assert run("verify", str(tmp_path / "claims.npz"), *words).status == 0
    claims["grad_logits"][3, 7] = 1e-9
    np.savez(tmp_path / "claims.npz", logits=logits, target=labels, **claims)
    wrong = run("verify", str(tmp_path / "claims.npz"), *words)
    assert wrong.status == 1
    assert "row 3, class 7" in wrong.err


def test_a_pt_file_without_pytorch_is_refused(tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('No module named torch')")
    np.savez(tmp_path / "x.npz", logits=np.eye(3), target=np.arange(3))
    out = tmp_path / "r.pt"
    ended = run(str(tmp_path / "x.npz"), "-o", str(out), env={"PYTHONPATH": str(tmp_path)})
    assert ended.status == 2
    assert "writing .pt needs its library: pip install torch" in ended.err
    assert not out.exists()


@pytest.fixture
def among_others(folder):
    """Return a folder with two files, a.npz and c.npz."""
    for name in ("a", "c"):
        np.savez(folder / f"{name}.npz", logits=LOGITS, target=LABELS, loss=np.zeros(300))
    return folder


def cut(path):
    np.savez(path, logits=LOGITS, target=LABELS)
    path.write_bytes(path.read_bytes()[:900])


def misfit(path):
    np.savez(path, logits=LOGITS, target=LABELS[:7])


UNUSABLE = {"none": (74, lambda _: None), "cut": (74, cut), "misfit": (3, misfit)}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_file_that_cannot_be_used_keeps_no_other_from_being_done(among_others, what):
    status, spoil = UNUSABLE[what]
    spoil(among_others / "b.npz")
    files = ["a.npz", "b.npz", "c.npz"]
    ended = run(*files, "--output-dir", "out", cwd=among_others)
    assert ended.status == status
    first, second = ended.err.splitlines()
    assert first.startswith("softgrad: b.npz: ")
    assert second == "softgrad: out/b.npz is not written"
    assert sorted(path.name for path in (among_others / "out").iterdir()) == ["a.npz", "c.npz"]


@pytest.mark.parametrize("what", UNUSABLE)
def test_with_one_output_an_unusable_file_among_others_leaves_it_alone(among_others, what):
    status, spoil = UNUSABLE[what]
    spoil(among_others / "b.npz")
    (among_others / "r.txt").write_text("old")
    files = ["a.npz", "b.npz", "c.npz"]
    ended = run("verify", *files, "-o", "r.txt", cwd=among_others)
    assert (ended.status, (among_others / "r.txt").read_text()) == (status, "old")
    assert "600 records: 600 failed" in ended.err
    assert run("verify", *files, cwd=among_others).text.count("the worst rows") == 2


@pytest.mark.parametrize("options", [[], ["--unnormalized-target"]])
def test_rows_whose_target_has_a_share_in_padding_are_rejected(tmp_path, options):
    shares = np.array([[0.5, 0.5, 0.0], [0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    np.savez(tmp_path / "a.npz", logits=np.zeros((3, 3)), target=shares)
    ended = run("a.npz", "--num-classes", "2", *options, "-o", "r.npz", cwd=tmp_path)
    assert ended.status == 3, ended.err
    assert "a.npz: row 1: target[2], 0.25, is that of a column of padding" in ended.err
    with np.load(tmp_path / "r.npz") as results:
        assert np.isfinite(results["loss"]).tolist() == [True, False, True]
