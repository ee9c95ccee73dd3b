"""What an installed softgrad must do on every system, in a second and without pytest."""

import json
import math
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

import softgrad_core

COMMAND = [sys.executable, "-m", "softgrad"]
ROW = '{"logits": [2.0, 1.0, 0.1], "target": 0}'


def output(*words: str, text: str = "", status: int = 0) -> str:
    """Return what the command writes, which must end with this status."""
    done = subprocess.run(
        [*COMMAND, *words], input=text, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == status, (words, done)
    return done.stdout


def main() -> None:
    """Use the library and the command once in each way."""
    assert output("--version").startswith(f"softgrad {version('softgrad')}, ")
    result = softgrad_core.softmax_cross_entropy([40.0, 0.0], 0)
    # In the last places, NumPy and the compiled kernel may differ.
    assert math.isclose(
        float(result.loss), 4.248354255291589e-18, rel_tol=4 * sys.float_info.epsilon
    )
    [line] = output(text=ROW).splitlines()
    assert abs(json.loads(line)["loss"] - 0.4170300162778335) < 1e-15
    assert json.loads(output(text=line)) == json.loads(line)
    output("verify", text=line)
    output("verify", "2", "1", "0.1", "-t", "0", "--grad-logits", "0.341,-0.242,-0.0986", status=1)
    assert "f(x)" in output("2.0", "1.0", "0.1", "-t", "0", "--check")
    assert "# Verify" in output("guide", "verify")
    assert "class Moving" in output("explain", "2", "1", "-t", "0", "-f", "html")
    output("1", "2", "-t", "2", status=2)
    # Several processes, a file that replaces another one, and arrays.
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("rows.jsonl").write_text(f"{ROW}\r\n" * 20_000, encoding="utf-8", newline="")
        for _ in range(2):
            output("rows.jsonl", "-j", "2", "-o", "results.jsonl")
        assert Path("results.jsonl").read_bytes() == f"{line}\n".encode() * 20_000
        np.savez("a.npz", logits=np.eye(3), target=np.arange(3))
        output("a.npz", "-o", "r.npz")
        with np.load("r.npz") as archive:
            assert archive["loss"].shape == (3,)
        os.chdir(os.path.dirname(folder))


if __name__ == "__main__":
    main()
    print("the installed softgrad works")
