"""The benchmarks run; what they measure is for people to read."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent / "benchmarks"


def test_a_benchmark_prints_a_table():
    done = subprocess.run(
        [sys.executable, BENCHMARKS, "check"], capture_output=True, text=True, check=True
    )
    assert "The check, time a row" in done.stdout
    assert "10,000" in done.stdout


def test_an_unknown_benchmark_is_named():
    done = subprocess.run(
        [sys.executable, BENCHMARKS, "chekc"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert (
        "expected some of startup, pipe, memory, check, accuracy, verify, mistakes, got chekc"
        in done.stderr
    )
