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

MAY_BE_SKIPPED = ("one kernel that this processor can run", "there is no GPU")
"""Reasons to skip a test that --no-skips accepts, because they depend on the machine."""


def pytest_addoption(parser):
    parser.addoption("--no-skips", action="store_true", help="fail if a test is skipped")


def pytest_configure(config):
    settings.load_profile("ordinary" if config.option.markexpr == "not sweep" else "sweep")


def pytest_collection_modifyitems(items):
    # No process should wait at the end for those that take longest: mypy, and the sanitizers.
    longest = ("test_the_code_keeps_the_rules", "test_a_sanitizer_finds_nothing")
    items.sort(key=lambda item: not any(name in item.nodeid for name in longest))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and item.config.option.no_skips:
        reason = str(call.excinfo.value)
        if not any(accepted in reason for accepted in MAY_BE_SKIPPED):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} was skipped: {reason}"
    return report
