"""Settings of the whole suite: how many examples hypothesis draws, and which skips CI accepts."""

import os

import pytest
from hypothesis import settings

# PyTorch's threads wait for one another, which the tests of other processes pay for.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Each process of the tests would take most of a GPU's memory for itself.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

settings.register_profile("ordinary", max_examples=20, deadline=None)
settings.register_profile("sweep", max_examples=250, deadline=None)

LONGEST = (
    "core/test_memory",
    "derivation/test_derivation",
    "loss/test_accuracy",
    "probing/test_findings",
    "test_style",
    "running/test_cluster",
    "outputs/moving/test_controls",
    "outputs/moving/test_numbers",
    "outputs/test_pages",
    "running/test_jobs",
    "loss/test_digits",
    "loss/test_whole_loss",
    "checking/test_check",
    "verification/test_mistakes",
    "verification/test_rounding",
    "test_faults",
    "probing/test_frameworks",
    "test_documents",
)
"""The files that take longest, in the ordinary run or in the sweeps.

They come first, so that no process waits at the end for another. A file is run by one process,
which prepares what its tests share once: browsers, clusters, notebooks.
"""

MAY_BE_SKIPPED = ("one kernel that this processor can run", "there is no GPU")
"""Reasons to skip a test that --no-skips accepts, because they depend on the machine."""


def pytest_addoption(parser):
    parser.addoption("--no-skips", action="store_true", help="fail if a test is skipped")


def pytest_configure(config):
    settings.load_profile("ordinary" if config.option.markexpr == "not sweep" else "sweep")


def pytest_collection_modifyitems(items):
    def place(item):
        return next((n for n, name in enumerate(LONGEST) if name in item.nodeid), len(LONGEST))

    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and item.config.option.no_skips:
        reason = str(call.excinfo.value)
        if not any(accepted in reason for accepted in MAY_BE_SKIPPED):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} was skipped: {reason}"
    return report
