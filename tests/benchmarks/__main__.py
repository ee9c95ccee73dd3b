"""Measures what the README claims, side by side in one run, and prints it as tables.

Run it as ``python tests/benchmarks``, or with some of the names below to measure only these;
``--markdown`` prints the tables for the README, and ``--plot FILE.svg`` draws how time and memory
grow. It asserts nothing: machines differ, so that times are given as ratios of runs that take
turns.
"""

import argparse
import os
import platform
import sys
from pathlib import Path

import accuracy
import arrays
import check
import confusion
import growth
import libraries
import memory
import numpy as np
import options
import pipe
import probing
import sensitivity
import standard
import startup
import training_step
import verification

from softgrad_core.loss.kernels.direct import KERNELS

MEASUREMENTS = {
    "startup": startup.measure,
    "pipe": pipe.measure,
    "jobs": pipe.measure_jobs,
    "arrays": arrays.measure,
    "options": options.measure,
    "memory": memory.measure,
    "check": check.measure,
    "sensitivity": sensitivity.measure,
    "standard": standard.measure,
    "accuracy": accuracy.measure,
    "verify": verification.measure,
    "verify-arrays": verification.measure_arrays,
    "training-step": training_step.measure,
    "growth": growth.measure,
    "mistakes": confusion.measure,
    "probe": probing.measure,
    "libraries": libraries.measure,
}


def main() -> None:
    """Measure everything, or what the arguments name."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MEASUREMENTS))
    parser.add_argument("--markdown", action="store_true", help="print tables for the README")
    parser.add_argument("--plot", metavar="FILE.svg", help="draw the curves of growth")
    asked = parser.parse_args()
    for name in asked.names:
        if name not in MEASUREMENTS:
            sys.exit(f"expected some of {', '.join(MEASUREMENTS)}, got {name}")
    names = asked.names or ([] if asked.plot else list(MEASUREMENTS))
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}"
    kernel = f"{'with' if KERNELS else 'without'} the compiled kernel"
    print(f"Measured on {machine}, {kernel}", flush=True)
    for name in names:
        for table in MEASUREMENTS[name]():
            print(table.as_markdown() if asked.markdown else table.as_text(), flush=True)
    if asked.plot:
        Path(asked.plot).write_text(growth.plotted(growth.measured()))


if __name__ == "__main__":
    main()
