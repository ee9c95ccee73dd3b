"""What real kernels gave, from tests/cases/kernels.

They ran on a GPU (NVIDIA H200; PyTorch 2.11, Liger 0.8.5 and JAX 0.11): eager and compiled PyTorch
in the type of the logits, `upcast` to float32 first, Liger, JAX.
bfloat16 is stored as its bits. The label -100 is ignored; `smooth` is a label smoothing of 0.1,
`softcap` a cap of 30, and `zloss` a z-loss with the weight 1e-4.
"""

from pathlib import Path
from typing import Any

import numpy as np

from softgrad_core.dtypes import Dtype

FOLDER = Path(__file__).parents[1] / "cases" / "kernels"
OPTIONS = {
    "mean": {"reduction": "mean"},
    "sum": {"reduction": "sum"},
    "smooth": {"reduction": "mean", "label_smoothing": 0.1},
    "softcap": {"reduction": "mean", "softcap": 30.0},
    "zloss": {"reduction": "mean", "z_loss_scale": 1e-4},
}


def decoded(array):
    is_bits = array.dtype == np.uint16
    wide = (array.astype(np.uint32) << 16).view(np.float32) if is_bits else array
    return wide.astype(np.float64)


def recorded():
    """Yield the name, type, kernel, logits, targets, loss, gradient and options of each run."""
    for path in sorted(FOLDER.glob("*.npz")):
        with np.load(path) as file:
            logits, targets = decoded(file["logits"]), file["labels"]
            for key in file.files:
                kernel, _, rest = key.partition("/")
                setting, _, quantity = rest.partition("/")
                if quantity == "grad" and setting in OPTIONS:
                    loss = float(file[f"{kernel}/{setting}/loss"])
                    options = {**OPTIONS[setting], "ignore_index": -100}
                    dtype = Dtype(path.stem.rpartition("-")[2])
                    name = f"{path.stem} {kernel} {setting}"
                    gradient = decoded(file[key])
                    yield name, dtype, kernel, logits, targets, loss, gradient, options


RUNS: dict[str, list[Any]] = {}
"""The runs, by the shape and the type of their logits."""

for _run in recorded():
    RUNS.setdefault(_run[0].split()[0], []).append(_run)
