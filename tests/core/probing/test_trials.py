"""What is drawn for trials."""

import numpy as np

from softgrad_core.dtypes import Dtype
from softgrad_core.probing.probe import plan_of
from softgrad_core.probing.trials import Draw


def test_labels_that_are_drawn_count_whichever_is_ignored():
    for ignored in (0, 2, -100, None):
        plan = plan_of((), {} if ignored is None else {"ignore_index": ignored})
        draw = Draw(np.random.default_rng(0), Dtype.FLOAT64, plan)
        assert {*draw.targets(500, 4).tolist()} == {0, 1, 2, 3} - {ignored}
        # The only class there is may be the one that is ignored.
        assert draw.targets(2, 1).tolist() == [0, 0]
