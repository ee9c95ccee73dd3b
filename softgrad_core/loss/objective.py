"""The objective: the loss function of each row, made of its target and the options.

The loss of a row of K logits a is

    L = -sum_c q_c log f(x)_c + ζ m / n (log sum_c exp z_c)**2,  f(x) = softmax(z),
    q_c = m w_c / D ((1 - ε) t_c + ε / K),  z = cap tanh(a / cap) / T,

with the target t (the one-hot vector of a label, or a distribution), the label smoothing ε, the
class weights w, the temperature T, the soft cap, the divisor D of the mean over a batch and n of
its z-loss, the weight ζ of the z-loss, and the factor m. With ε, w and D alone, the formulas are
those of torch.nn.functional.cross_entropy. As a divergence, the loss has sum_c q_c log q_c added,
with the q_c without m and D, all times m / D.

Columns of logits from K on are padding. They are masked classes, with target weights of 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.targets import IndexArray
from softgrad_core.tensors import Packed

BoolArray = npt.NDArray[np.bool]


class Batches(NamedTuple):
    """M consecutive batches of rows, all of the same size.

    Attributes
    ----------
    size
        The number of rows per batch.
    denominators
        What the sum of the losses of each batch is divided by, of shape (M,): 0 for the mean of a
        batch without counted rows.
    reduced
        Whether there is one loss per batch rather than one per row.
    """

    size: int
    denominators: FloatArray
    reduced: bool


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """The loss functions of N rows. An attribute that is None has no effect.

    Attributes
    ----------
    labels
        The true class of each row, of shape (N,). For a distribution, its most probable class; for
        an ignored row, class 0.
    distribution
        The target probabilities t, of shape (N, K), in float64 or as float32 numbers; None if the
        targets are labels.
    smoothing, temperature, divisor, scale
        ε, T, D and m, of shape (N,).
    class_weights
        w, of shape (N, K).
    counted
        Which rows count, of shape (N,): False for an ignored row.
    softcap
        The cap, of shape (N,).
    z_scale, z_divisor
        ζ and n, of shape (N,).
    num_classes
        How many columns are classes, of shape (N,). The others are padding.
    is_divergence
        True for rows whose loss is the divergence, of shape (N,).
    batches
        How rows form batches; None if each row stands alone.
    """

    labels: IndexArray
    distribution: npt.NDArray[Any] | None = None
    smoothing: FloatArray | None = None
    temperature: FloatArray | None = None
    divisor: FloatArray | None = None
    class_weights: FloatArray | None = None
    counted: BoolArray | None = None
    scale: FloatArray | None = None
    softcap: FloatArray | None = None
    z_scale: FloatArray | None = None
    z_divisor: FloatArray | None = None
    num_classes: IndexArray | None = None
    is_divergence: BoolArray | None = None
    batches: Batches | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the loss of each row is -log f(x)_y, with f(x) = softmax(a)."""
        return not self.options_in_use

    @property
    def options_in_use(self) -> Sequence[str]:
        """The names of the attributes that have an effect."""
        return [name for name in OF_ROWS if getattr(self, name) is not None]

    def masked(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return rows of logits with padding as masked classes: a copy if there is padding."""
        if self.num_classes is None:
            return rows
        rows = rows.astype(np.float64) if isinstance(rows, Packed) else rows.copy()
        first, last = self.num_classes.min(initial=rows.shape[1]), self.num_classes.max(initial=0)
        if first == last:
            rows[:, first:] = -np.inf
        else:
            rows[self._is_padding(rows.shape[1])] = -np.inf
        return rows

    def _is_padding(self, columns: int) -> BoolArray:
        """Return which columns are padding, of shape (N, columns)."""
        count = columns if self.num_classes is None else self.num_classes[:, np.newaxis]
        return np.asarray(np.arange(columns) >= count)

    def weights(
        self, classes: int, number: Any = np.float64, *, gain: float = 1.0
    ) -> npt.NDArray[Any]:
        """Return q times the square of `gain`, of shape (N, K).

        It is computed in the type `number`: a NumPy type, or Decimal. With a `gain`, numbers far
        below 1 keep their digits.
        """
        gained = number(gain)
        q = self._smoothed_targets(classes, number, gained)
        weights = None if self.class_weights is None else _in_type(self.class_weights, number)
        q = q * (gained if weights is None else weights * gained)
        return np.asarray(self._times_factors(q, number, self.divisor))

    def _smoothed_targets(self, classes: int, number: Any, gain: Any) -> npt.NDArray[Any]:
        """Return (1 - ε) t + ε / K, times a factor."""
        q = _in_type(self.targets(classes), number) * gain
        if self.smoothing is None:
            return np.asarray(q)
        smoothing = _in_type(self.smoothing[:, np.newaxis], number)
        if self.num_classes is None:
            return np.asarray((1 - smoothing) * q + smoothing * gain / classes)
        count = _in_type(self.num_classes[:, np.newaxis].astype(np.float64), number)
        q = (1 - smoothing) * q + smoothing * gain / count
        return np.asarray(np.where(self._is_padding(classes), 0 * q, q))

    def neg_entropies(self, classes: int, number: Any = np.float64) -> npt.NDArray[Any] | None:
        """Return what the divergence adds to the loss of each row, m / D sum_c q_c log q_c.

        It is of shape (N,), in a NumPy type; None if the loss of no row is a divergence.
        """
        if self.is_divergence is None:
            return None
        q = self._smoothed_targets(classes, number, number(1.0))
        if number is Decimal:
            terms = np.frompyfunc(lambda share: share and share * share.ln(), 1, 1)(q)
        else:
            terms = q * self._logs_of_smoothed(q)
        sums = terms.sum(axis=1) * self.is_divergence
        return np.asarray(self._times_factors(sums, number, self.divisor))

    def _logs_of_smoothed(self, q: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return log q for smoothed targets q, and 0 for those that are 0."""
        logs = np.log(q, out=np.zeros_like(q), where=q > 0.0)
        # Near 1, q itself has lost the digits that its logarithm is made of.
        columns = q.shape[1]
        t = self.targets(columns).astype(q.dtype, copy=False)
        less = t - 1.0
        if self.smoothing is not None:
            count: Any = columns if self.num_classes is None else self.num_classes[:, np.newaxis]
            less -= self.smoothing[:, np.newaxis] * (t - q.dtype.type(1.0) / count)
        return np.log1p(less, out=logs, where=(t >= 0.5) & (less > -0.5))

    def z_weights(self, number: Any = np.float64) -> npt.NDArray[Any]:
        """Return ζ m / n, of shape (N,); 0 for rows without a z-loss."""
        if self.z_scale is None:
            return _in_type(np.zeros(len(self.labels)), number)
        weights = _in_type(self.z_scale, number)
        return np.asarray(self._times_factors(weights, number, self.z_divisor))

    def _times_factors(
        self, values: npt.NDArray[Any], number: Any, divisor: FloatArray | None
    ) -> npt.NDArray[Any]:
        """Return values of rows, of shape (N, ...), times m and divided by D or n.

        They are 0 for rows that do not count.
        """

        def of_rows(factor: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return factor.reshape(-1, *[1] * (values.ndim - 1))

        if self.scale is not None:
            values = values * _in_type(of_rows(self.scale), number)
        if divisor is not None:
            # The mean of no rows has gradients of 0.
            is_nothing = of_rows(divisor == 0.0)
            divisors = _in_type(of_rows(divisor) + is_nothing, number)
            values = np.where(is_nothing, 0 * values, values / divisors)
        if self.counted is not None:
            values = np.where(of_rows(self.counted), values, 0 * values)
        return values

    @property
    def is_of_labels(self) -> bool:
        """Whether the loss of each row is -q_y log f(x)_y, with f(x) = softmax(a)."""
        return self.has_labels and not self.is_scaled and self.z_scale is None

    @property
    def has_labels(self) -> bool:
        """Whether the class of the label alone has a target weight."""
        return self.distribution is None and self.smoothing is None

    @property
    def is_scaled(self) -> bool:
        """Whether the softmax takes something else than the logits."""
        return self.temperature is not None or self.softcap is not None

    def label_weights(self) -> FloatArray:
        """Return q_y, of shape (N,), if only the labels have weights."""
        q = np.ones(len(self.labels))
        if self.class_weights is not None:
            q *= self.class_weights[np.arange(len(q)), self.labels]
        if self.scale is not None:
            q *= self.scale
        if self.divisor is not None:
            # The mean of no rows has gradients of 0.
            q = np.divide(q, self.divisor, out=np.zeros_like(q), where=self.divisor != 0.0)
        return q if self.counted is None else np.where(self.counted, q, 0.0)

    def targets(self, classes: int) -> FloatArray:
        """Return the target probabilities t, of shape (N, K)."""
        if self.distribution is not None:
            return self.distribution.astype(np.float64, copy=False)
        one_hot = np.zeros((len(self.labels), classes))
        one_hot[np.arange(len(self.labels)), self.labels] = 1.0
        return one_hot

    def without_padding(self) -> "Objective":
        """Return the objective of one row for logits without the columns that are padding."""
        if self.num_classes is None:
            return self
        chosen = slice(0, int(self.num_classes[0]))
        given = {
            name: getattr(self, name)[:, chosen]
            for name in ("distribution", "class_weights")
            if name in self.options_in_use
        }
        return replace(self, num_classes=None, **given)

    def batches_of(self, name: str) -> Batches | None:
        """Return how rows form batches, with the divisors of a loss: "loss", or "z_loss"."""
        if name != "z_loss" or self.batches is None or self.z_divisor is None:
            return self.batches
        divisors = self.z_divisor[:: self.batches.size] if len(self.z_divisor) else np.zeros(1)
        return self.batches._replace(denominators=divisors)

    def part(self, rows: IndexArray | slice | Sequence[int]) -> "Objective":
        """Return the objective of some rows, without their batches but each with its 1/D."""
        given = {name: getattr(self, name)[rows] for name in self.options_in_use}
        return Objective(self.labels[rows], **given)

    def of_batches(self, batches: IndexArray | Sequence[int]) -> "Objective":
        """Return the objective of some batches, or of some rows if each row stands alone."""
        if self.batches is None:
            return self.part(batches)
        rows = rows_of(batches, self.batches.size)
        chosen = self.batches._replace(denominators=self.batches.denominators[batches])
        return replace(self.part(rows), batches=chosen)


def rows_of(batches: IndexArray | Sequence[int], size: int) -> IndexArray:
    """Return the indices of the rows of some batches of this size."""
    return np.asarray((np.array(batches)[:, np.newaxis] * size + np.arange(size)).reshape(-1))


OF_ROWS = (
    "distribution",
    "smoothing",
    "temperature",
    "divisor",
    "class_weights",
    "counted",
    "scale",
    "softcap",
    "z_scale",
    "z_divisor",
    "num_classes",
    "is_divergence",
)
"""The attributes that each row has besides its label, if they have an effect."""


def joined(objectives: Sequence[Objective]) -> Objective:
    """Return the objective of all these rows, which have the same options in use.

    They are in batches of equal size or in none.
    """
    values: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in objectives])
        for name in objectives[0].options_in_use
    }
    batches = [one.batches for one in objectives if one.batches is not None]
    if batches:
        values["batches"] = Batches(
            batches[0].size,
            np.concatenate([one.denominators for one in batches]),
            batches[0].reduced,
        )
    return Objective(np.concatenate([one.labels for one in objectives]), **values)


def _in_type(values: npt.NDArray[Any], number: Any) -> npt.NDArray[Any]:
    """Convert numbers to a NumPy type, or to objects of another type such as Decimal."""
    if isinstance(number, type) and issubclass(number, np.generic):
        return values.astype(number, copy=False)
    return np.asarray(np.frompyfunc(number, 1, 1)(values), dtype=object)
