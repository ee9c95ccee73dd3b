"""Random rows of logits with soft targets and options of the loss."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from support.oracle import Exact, exact
from support.rows import Row


class Problem(NamedTuple):
    """One row, its target, and the options of its loss."""

    logits: list[float]
    target: int | list[float]
    options: dict[str, Any]

    def exact(self) -> Exact:
        """Return the exact values."""
        names = {"label_smoothing", "class_weights", "temperature", "num_classes", "loss_scale"}
        names |= {"kl_divergence", "softcap", "z_loss_scale"}
        options = {name: value for name, value in self.options.items() if name in names}
        divisor = self.options.get("denominator", 1.0)
        weights = self.options.get("class_weights")
        if self.options.get("reduction") == "mean" and weights and isinstance(self.target, int):
            divisor = weights[self.target]
        z_divisor = self.options.get("denominator", 1.0)
        return exact(self.logits, self.target, divisor=divisor, z_divisor=z_divisor, **options)


def problems(rows: Iterable[Row], seed: int) -> Iterator[Problem]:
    """Give each row some options of the loss, usual or extreme ones."""
    rng = np.random.default_rng(seed)
    for logits, label in rows:
        classes = len(logits)
        is_masked = np.isinf(logits)
        options: dict[str, Any] = {}
        target: int | list[float] = label
        if rng.random() < 0.5:
            distribution = rng.dirichlet(np.full(classes, 10.0 ** rng.uniform(-3, 1)))
            if rng.random() < 0.3:
                distribution = rng.uniform(0, 10, classes) * 10.0 ** rng.integers(-5, 5)
            target = np.where(is_masked, 0.0, distribution).tolist()
            options["unnormalized_target"] = True
        if rng.random() < 0.6:
            usual = rng.random() < 0.8
            options["temperature"] = 10.0 ** (
                rng.uniform(-3, 3) if usual else rng.uniform(-290, 290)
            )
        if rng.random() < 0.5:
            weights = rng.uniform(0, 5, classes) * 10.0 ** rng.integers(-3, 4)
            if rng.random() < 0.3:
                weights[rng.integers(classes)] = 0.0
            options["class_weights"] = weights.tolist()
            if rng.random() < 0.5 and (not isinstance(target, int) or weights[target]):
                options["reduction"] = "mean"
        if rng.random() < 0.5 and not is_masked.any():
            odd = [0.1, 0.5, 1.0, rng.random(), 1e-10, 1e-300]
            options["label_smoothing"] = float(rng.choice(odd))
        _add_factors(options, rng, largest=max(logits))
        if rng.random() < 0.3 and classes > 2 and np.isfinite(logits[:2]).all():
            _add_padding(options, target, label, classes, rng)
        yield Problem(logits, target, options)


def _add_factors(options: dict[str, Any], rng: np.random.Generator, largest: float) -> None:
    """Add a factor of the loss, a denominator or the divergence, to some of the options."""
    if rng.random() < 0.3:
        options["loss_scale"] = float(10.0 ** rng.uniform(-3, 3))
    if rng.random() < 0.3:
        options.pop("reduction", None)
        options["denominator"] = float(10.0 ** rng.uniform(-3, 3))
    if rng.random() < 0.3 and "class_weights" not in options:
        options["kl_divergence"] = True
    # A temperature far below 1 tells apart what a soft cap has made equal to 100 bits.
    is_usual = 1e-4 < options.get("temperature", 1.0) < 1e4
    if rng.random() < 0.3 and is_usual:
        options["softcap"] = float(10.0 ** rng.uniform(-2, 3))
    # The logarithm of the sum, over T, may overflow.
    if rng.random() < 0.3 and is_usual and largest < 1e300:
        options["z_loss_scale"] = float(10.0 ** rng.uniform(-5, 1))


def _add_padding(
    options: dict[str, Any],
    target: int | list[float],
    label: int,
    classes: int,
    rng: np.random.Generator,
) -> None:
    """Declare some of the last columns to be padding, which the target then has no share of."""
    first = label + 1 if isinstance(target, int) else 2
    count = int(rng.integers(max(2, first), classes + 1))
    options["num_classes"] = count
    if isinstance(target, list):
        target[count:] = [0.0] * (classes - count)
