"""What happens in a probe: an input is tried, and what came of it; a mistake is found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.options import Reduction
from softgrad_core.probing.inputs import Input, Plan


@dataclass(frozen=True, eq=False)
class Trial:
    """An input to try, and its number among all trials."""

    number: int
    name: str
    family: str
    dtype: Dtype
    given: Input


@dataclass(frozen=True, eq=False)
class Finding:
    """A mistake that a function makes, and the smallest input found that shows it.

    Attributes
    ----------
    name, explanation, remedy
        The mistake, what was done wrong, and what to do about it.
    trial
        The name of the trial that found it.
    dtype
        The type of the logits.
    given
        The input.
    claims
        What the function gave for it, by the names of claims; empty if it gave nothing.
    failed
        Which of these are wrong.
    claim_dtype
        The type that those are held to.
    details
        What is known in detail: the verdict on the claims, or the error that was raised.
    options
        The options of the loss.
    """

    name: str
    explanation: str
    remedy: str
    trial: str
    dtype: Dtype
    given: Input
    claims: Mapping[str, Any]
    failed: Sequence[str]
    claim_dtype: Dtype
    details: Sequence[str]
    options: Mapping[str, Any]

    @property
    def is_reduced(self) -> bool:
        """Whether there is one loss for all rows."""
        return Plan(options=self.options).is_reduced

    def records(self) -> list[dict[str, Any]]:
        """Return what shows the mistake as records for `softgrad verify`, with what was claimed.

        Rows with a gradient each from above are records of their own. There are none where no
        number is wrong, or where there is one class.
        """
        given = self.given
        if not self.failed or given.logits.shape[1] < 2:
            return []
        told = {**self.options, **given.options}
        claims = {name: self.claims[name].tolist() for name in self.failed}
        whole = {"logits": given.logits.tolist(), "target": given.targets.tolist()}
        if given.upstream is not None:
            told["loss_scale"] = (told.get("loss_scale", 1.0) * given.upstream).tolist()
        has_own_factors = given.upstream is not None and given.upstream.ndim > 0
        if not has_own_factors and (self.is_reduced or len(given.logits) > 1):
            return [{**whole, "reduction": Reduction.NONE.value, **told, **claims}]
        columns = {**whole, **claims}
        if has_own_factors:
            columns["loss_scale"] = told.pop("loss_scale")
        rows = zip(*columns.values(), strict=True)
        return [dict(zip(columns, row, strict=True)) | told for row in rows]


@dataclass(frozen=True, eq=False)
class Upcoming:
    """The trials that are about to be made, in this order; perhaps only the first of them."""

    trials: Sequence[Trial]


@dataclass(frozen=True, eq=False)
class Tried:
    """What became of a trial: the name of what was found, if anything, and the worst error."""

    number: int
    name: str
    found: str
    worst_ulp: float


Event = Upcoming | Tried | Finding
