"""Results of arrays: .npz files."""

import subprocess
import sys

import numpy as np
from support.arrays import make, results_of
from support.command import run

from softgrad_core import softmax_cross_entropy


def test_only_the_fields_that_are_asked_for_are_written(tmp_path):
    logits, targets = make()
    np.savez(tmp_path / "a.npz", logits=logits, target=targets)
    run("a.npz", "-o", "r.npz", "--fields", "grad_logits,loss", cwd=tmp_path)
    assert list(results_of(tmp_path / "r.npz")) == ["loss", "grad_logits"]


def test_each_of_many_files_has_its_own_results(tmp_path):
    logits, targets = make(seed=4)
    np.savez(tmp_path / "a.npz", logits=logits, target=targets)
    np.savez(tmp_path / "b.npz", logits=logits[:9], target=targets[:9])
    ended = run("a.npz", "b.npz", "--output-dir", "out/results", cwd=tmp_path)
    assert (ended.status, ended.err) == (0, "")
    wanted = softmax_cross_entropy(logits, targets)
    for name, count in (("a", 500), ("b", 9)):
        results = results_of(tmp_path / "out" / "results" / f"{name}.npz")
        np.testing.assert_array_equal(results["loss"], wanted.loss[:count])


def test_other_programs_can_read_the_results(tmp_path):
    logits, targets = make()
    np.savez(tmp_path / "a.npz", logits=logits, target=targets)
    run("a.npz", "-o", "r.npz", cwd=tmp_path)
    script = "import zipfile; print(zipfile.ZipFile('r.npz').testzip())"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "None\n"
