"""softgrad verify: claims in arrays."""

import re

import numpy as np
import pytest
from support.arrays import make, results_of
from support.command import run

from softgrad_core import softmax_cross_entropy


def test_the_worst_rows_are_shown(tmp_path):
    logits, targets = make(3_000, 10, "float32")
    right = softmax_cross_entropy(logits, targets)
    wrong = right.grad_logits.copy()
    wrong[1234] *= -1
    np.savez(tmp_path / "c.npz", logits=logits, target=targets, loss=right.loss, grad_logits=wrong)
    ended = run("verify", "c.npz", cwd=tmp_path)
    assert ended.status == 1
    assert "loss: 3,000 of 3,000 passed, worst 0.4" in ended.err
    assert "grad_logits: 1 of 3,000 failed" in ended.err
    assert "at c.npz: row 1234, class" in ended.err
    assert "wrong-sign: it equals -1 × (p - e)" in ended.err
    lines = ended.text.splitlines()
    assert lines[0] == "c.npz: the worst rows"
    of_gradient = lines[lines.index("grad_logits") :]
    [failed] = [line.split() for line in of_gradient if " fail " in line]
    assert (failed[0], failed[-1]) == ("1234", "wrong-sign")
    ended = run("verify", "c.npz", "--json", "-j", "2", cwd=tmp_path)
    [record] = [record for record in ended.records if record["verdict"] == "fail"]
    assert (record["row"], record["mistake"]) == (1234, "wrong-sign")
    assert sum(record["quantity"] == "loss" for record in ended.records) == 10


@pytest.fixture
def with_a_block_of_zeros(tmp_path):
    """Write 3,000 rows of claims, of which rows 1500 to 1999 have zeros from class 40 on."""
    logits, targets = make(3_000, 64, "float32")
    wrong = softmax_cross_entropy(logits, targets, reduction="mean").grad_logits.copy()
    wrong[1500:2000, 40:] = 0.0
    np.savez(tmp_path / "c.npz", logits=logits, target=targets, grad_logits=wrong)
    return tmp_path


def test_a_map_shows_where_numbers_are_wrong(with_a_block_of_zeros):
    ended = run("verify", "c.npz", "--reduction", "mean", cwd=with_a_block_of_zeros)
    lines = ended.text.splitlines()
    [first] = [n for n, line in enumerate(lines) if line.startswith("where numbers are wrong: ")]
    assert lines[first].endswith(
        ": 3,000 rows downwards, each line the worst of 188; 64 classes across"
    )
    drawn = lines[first + 1 : first + 17]
    right, wrong = "." * 64, "." * 40 + "#" * 24
    assert drawn == [right] * 8 + [wrong] * 3 + [right] * 5
    again = run("verify", "c.npz", "--reduction", "mean", "-j", "3", cwd=with_a_block_of_zeros)
    assert again.text == ended.text


def test_arrays_that_are_right_have_no_map(tmp_path):
    logits, targets = make()
    right = softmax_cross_entropy(logits, targets).grad_logits
    np.savez(tmp_path / "c.npz", logits=logits, target=targets, grad_logits=right)
    assert "where numbers are wrong" not in run("verify", "c.npz", cwd=tmp_path).text
    ended = run("verify", "c.npz", "--only-failures", cwd=tmp_path)
    assert ended.text.endswith("There are no rows to show.\n\n")


def test_the_verdict_on_several_files_is_one_page(with_a_block_of_zeros):
    files = ("c.npz", "c.npz", "--reduction", "mean")
    ended = run("verify", *files, "-o", "page.html", cwd=with_a_block_of_zeros)
    assert (ended.status, ended.text) == (1, "")
    page = (with_a_block_of_zeros / "page.html").read_text(encoding="utf-8")
    assert page.count("<!DOCTYPE html>") == page.count("</html>") == 1
    assert page.count('<figure class="map">') == 2
    assert "rows 0 to 186: nothing is wrong" in page
    assert page.count("last-classes-left-out: all 500 equal") == 2
    assert page.count("3,000 records: 2,500 passed, 500 failed") == 2


def histogram_of(page):
    """Return the caption of a page's histogram, how many numbers it has, and how many beyond."""
    [drawn] = re.findall(r'<figure class="histogram">.*?</figure>', page, re.DOTALL)
    [caption] = re.findall(r"<figcaption>(.*)</figcaption>", drawn)
    counts = re.findall(r'<text x="[^>]*>([\d,]+)<', drawn)
    [beyond] = re.findall(r"([\d,]+) are beyond the bound", drawn)
    return caption, sum(int(said.replace(",", "")) for said in counts), int(beyond.replace(",", ""))


def test_a_histogram_shows_how_many_numbers_are_beyond_the_bound(with_a_block_of_zeros):
    words = ("verify", "c.npz", "--reduction", "mean", "-f", "html")
    caption, numbers, beyond = histogram_of(run(*words, cwd=with_a_block_of_zeros).text)
    assert caption == "errors, as multiples of what rounding in float32 may explain"
    assert (numbers, beyond) == (3_000 * 64, 500 * 24)


def test_the_histogram_of_a_large_file_counts_some_of_its_rows(tmp_path):
    logits, targets = make(6_000, 200, "float32")
    wrong = softmax_cross_entropy(logits, targets).grad_logits.copy()
    wrong[::2] *= 1.01
    np.savez(tmp_path / "c.npz", logits=logits, target=targets, grad_logits=wrong)
    page = run("verify", "c.npz", "-f", "html", "-j", "2", cwd=tmp_path).text
    caption, numbers, beyond = histogram_of(page)
    assert caption.endswith("may explain; of one row in 2")
    assert numbers == beyond == 3_000 * 200


def test_a_map_says_which_rows_were_not_judged(tmp_path):
    logits, targets = make(3_000, 10, "float32")
    claim = softmax_cross_entropy(logits, targets).grad_logits.copy()
    claim[[100, 2900]] *= -1
    logits[187:375] = np.nan
    np.savez(tmp_path / "c.npz", logits=logits, target=targets, grad_logits=claim)
    ended = run("verify", "c.npz", cwd=tmp_path)
    right, wrong = "." * 10, "#" * 10
    assert (ended.status, ended.text.splitlines()[-17:-1]) == (
        3,
        [wrong, "?" * 10, *[right] * 13, wrong],
    )
    run("verify", "c.npz", "-o", "page.html", cwd=tmp_path)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count('<rect class="unjudged"') == page.count("rows 187 to 374: not judged") == 10
    ended = run("verify", "c.npz", "--fail-fast", cwd=tmp_path)
    assert (ended.status, ended.text.splitlines()[-17:-1]) == (1, [wrong, *["?" * 10] * 15])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_loss_of_a_batch_is_verified_with_its_gradient(tmp_path, reduction):
    logits, targets = make()
    right = softmax_cross_entropy(logits, targets, reduction=reduction)
    dump = {"logits": logits, "target": targets, "grad_logits": right.grad_logits}
    for name, loss in (("right", right.loss), ("one", right.loss.reshape(1)), ("wrong", -1.0)):
        np.savez(tmp_path / f"{name}.npz", **dump, loss=loss)
    for name in ("right", "one"):
        ended = run("verify", f"{name}.npz", "--reduction", reduction, cwd=tmp_path)
        assert ended.status == 0
        assert "loss: 1 of 1 passed" in ended.err
        assert "grad_logits: 500 of 500 passed" in ended.err
    wrong = run("verify", "wrong.npz", "--reduction", reduction, cwd=tmp_path)
    assert wrong.status == 1
    assert "loss: 1 of 1 failed" in wrong.err
    assert "at wrong.npz: expected" in wrong.err
    assert "\nbatch " in wrong.text
    ended = run("verify", "wrong.npz", "--reduction", reduction, "--json", cwd=tmp_path)
    [of_batch] = [record for record in ended.records if record["quantity"] == "loss"]
    assert (of_batch["got"], of_batch["verdict"], "row" in of_batch) == (-1.0, "fail", False)
    other = "mean" if reduction == "sum" else "sum"
    ended = run("verify", "right.npz", "--reduction", other, cwd=tmp_path)
    assert ended.status == 1
    assert f"{'sum-for-mean' if other == 'mean' else 'mean-over-batch'}: " in ended.err
    # One mistake explains both claims, and comes first in both.
    assert f"  {'sum' if other == 'mean' else 'mean'}-over-batch, as in " in ended.err


def test_results_of_a_batch_pass_their_own_verification(tmp_path):
    logits, targets = make()
    np.savez(tmp_path / "a.npz", logits=logits, target=targets)
    assert run("a.npz", "--reduction", "mean", "-o", "r.npz", cwd=tmp_path).status == 0
    both = results_of(tmp_path / "a.npz") | results_of(tmp_path / "r.npz")
    np.savez(tmp_path / "both.npz", **both)
    assert run("verify", "both.npz", "--reduction", "mean", cwd=tmp_path).status == 0


def test_the_loss_of_a_batch_with_an_unusable_row_is_not_judged(tmp_path):
    logits, targets = make()
    logits[3, 2] = np.nan
    np.savez(tmp_path / "a.npz", logits=logits, target=targets, loss=1.0, reduction="mean")
    ended = run("verify", "a.npz", cwd=tmp_path)
    assert ended.status == 3
    assert "a.npz: row 3: logits[2]: expected a finite number" in ended.err
    assert "a.npz: loss: not judged, because a row of its batch was rejected" in ended.err


@pytest.mark.parametrize("loss", [np.zeros(3), np.zeros(())])
def test_claims_for_unusable_rows_are_rejected(tmp_path, loss):
    logits, targets = np.full((3, 6), np.nan), np.arange(3)
    dump = {"logits": logits, "target": targets, "probs": logits, "loss": loss}
    np.savez(tmp_path / "a.npz", **dump, **({} if loss.ndim else {"reduction": "mean"}))
    ended = run("verify", "a.npz", cwd=tmp_path)
    assert ended.status == 3
    assert "a.npz: row 2: logits[0]: expected a finite number or -Infinity, got NaN" in ended.err


def test_an_array_with_a_name_like_a_claim_is_reported(tmp_path):
    dump = {"logits": np.zeros((5, 3)), "target": np.zeros(5, int), "loss": np.full(5, np.log(3))}
    np.savez(tmp_path / "a.npz", **dump, gradient=np.zeros((5, 3)))
    ended = run("verify", "a.npz", cwd=tmp_path)
    assert ended.status == 0
    assert '"gradient" is not verified; claims are called probs, log_probs, loss' in ended.err


def test_each_file_of_claims_may_have_its_own_report(tmp_path):
    logits, targets = make()
    np.savez(tmp_path / "a.npz", logits=logits, target=targets, loss=np.zeros(500))
    assert run("verify", "a.npz", "--output-dir", "out", cwd=tmp_path).status == 1
    assert run("verify", "a.npz", "--output-dir", "out", "--json", cwd=tmp_path).status == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.jsonl", "a.txt"]


@pytest.fixture
def claims(tmp_path):
    """Return a folder with claims of which two are wrong."""
    logits, targets = make(300, 6)
    wrong = softmax_cross_entropy(logits, targets).grad_logits.copy()
    wrong[[40, 50]] *= -1
    np.savez(tmp_path / "c.npz", logits=logits, target=targets, grad_logits=wrong)
    return tmp_path


def test_quiet_shows_only_the_claims_that_fail(claims):
    ended = run("verify", "c.npz", "--json", "--only-failures", cwd=claims)
    assert sorted(record["row"] for record in ended.records) == [40, 50]


def test_fail_fast_stops_at_the_first_wrong_claim(claims):
    ended = run("verify", "c.npz", "--json", "--only-failures", "--fail-fast", cwd=claims)
    assert ended.status == 1
    assert [record["row"] for record in ended.records] == [40]
    assert "softgrad: 41 records" in ended.err
