"""Whatever harms a run, its output is the old one or the new one, and nothing else is left."""

import pytest
from support.faults import suffer_often
from support.processes import linux


@linux
@pytest.mark.sweep
@pytest.mark.parametrize("seed", [1, 2])
def test_no_fault_leaves_half_a_file_a_process_or_a_wrong_status(seed):
    counts, wrong = suffer_often(32, seed)
    assert wrong == []
    assert counts.total() == 32
