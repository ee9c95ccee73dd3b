"""Measures what the README claims, side by side in one run, and prints it as tables.

Run it as ``python tests/benchmarks``, or with some of the names below to measure only these. It
asserts nothing: machines differ, so that times are given as ratios of runs that take turns.
"""

import sys

import accuracy
import check
import confusion
import memory
import pipe
import startup
import verification

MEASUREMENTS = {
    "startup": startup.measure,
    "pipe": pipe.measure,
    "memory": memory.measure,
    "check": check.measure,
    "accuracy": accuracy.measure,
    "verify": verification.measure,
    "mistakes": confusion.measure,
}


def main() -> None:
    """Measure everything, or what the arguments name."""
    for name in sys.argv[1:] or MEASUREMENTS:
        if name not in MEASUREMENTS:
            sys.exit(f"expected some of {', '.join(MEASUREMENTS)}, got {name}")
        MEASUREMENTS[name]()


if __name__ == "__main__":
    main()
