"""The benchmarks run. Their results are for people to read."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

BENCHMARKS = Path(__file__).parent / "benchmarks"

SMALL = """
import memory
memory.SIZES = (100, 1_000)
"""
"""Python that makes a benchmark take a moment."""


def benchmark(*arguments, code=None):
    words = [sys.executable, *(["-c", code] if code else [BENCHMARKS])]
    return subprocess.run(
        [*words, *arguments], capture_output=True, text=True, check=False, cwd=BENCHMARKS
    )


def tables(sizes, *arguments):
    """Run the benchmarks, after some Python that may change their sizes, and return their lines."""
    main = "\nimport runpy\nrunpy.run_path('__main__.py', run_name='__main__')"
    done = benchmark(*arguments, code=sizes + main)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_benchmark_prints_tables_for_the_guide():
    lines = tables(SMALL, "memory", "--markdown")
    assert "| records of 10 classes | peak | ratio |" in lines
    assert "|---|---|---|" in lines


@pytest.mark.sweep
def test_benchmarks_print_tables():
    lines = tables("", "check", "memory")
    assert {"The check, time a row", "Memory of a stream"} <= {*lines}
    assert any(line.split()[:1] == ["1,000"] for line in lines)


def test_an_unknown_benchmark_is_named():
    done = benchmark("chekc")
    assert done.returncode == 1
    assert (
        "expected some of startup, pipe, jobs, arrays, options, memory, check, sensitivity, "
        "standard, accuracy, verify, verify-arrays, training-step, growth, mistakes, probe, "
        "libraries, got chekc" in done.stderr
    )


def test_frameworks_that_are_not_installed_are_named():
    code = """
import sys
import importlib.util as util
util.find_spec = lambda name: None if name in ("torch", "jax", "scipy") else True
import sensitivity
print(*(table.as_text() for table in sensitivity.measure()))
"""
    lines = benchmark(code=code).stdout.splitlines()
    assert sum("not installed" in line for line in lines) == 3
    assert any(line.startswith("softgrad, check_gradients") and "1e-12" in line for line in lines)


def test_the_plot_draws_every_point():
    code = """
from growth import CLASSES, RECORDS, Point, plotted
sizes = [(records, 10) for records in RECORDS] + [(1, classes) for classes in CLASSES]
for factor in (1.0, 1e-3):
    points = [Point(*size, factor * size[0] * size[1] ** 0.5, 50.0) for size in sizes]
    print(plotted(points), end="%%")
"""
    *plots, rest = benchmark(code=code).stdout.split("%%")
    assert (len(plots), rest) == (2, "")
    for plot in plots:
        root = ElementTree.fromstring(plot)  # noqa: S314 - it is our own
        circles = root.findall(".//{http://www.w3.org/2000/svg}circle")
        assert len(circles) == 20
        for circle in circles:
            assert 0 < float(circle.get("cx")) < 880
            assert 0 < float(circle.get("cy")) < 640
