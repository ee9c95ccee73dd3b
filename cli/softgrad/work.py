"""The work on examples: their results, checks and derivations, or verdicts on their claims."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from softgrad.records.records import Examples
from softgrad_core.loss.cross_entropy import compute_rows
from softgrad_core.loss.logits import Rows
from softgrad_core.loss.objective import rows_of
from softgrad_core.loss.results import SoftmaxCrossEntropy

if TYPE_CHECKING:
    from softgrad_core.checking.check import BatchCheck
    from softgrad_core.derivation.explain import Derivation
    from softgrad_core.verification.tolerances import Tolerance
    from softgrad_core.verification.verify import Verification


class Computed(NamedTuple):
    """Results of examples of one shape, with the check or the derivations of each record."""

    examples: Examples
    result: SoftmaxCrossEntropy
    checks: "Sequence[BatchCheck] | None"
    derivations: "Sequence[Sequence[Derivation]] | None"

    @property
    def failed(self) -> list[int]:
        """The records that failed the check."""
        return [row for row, check in enumerate(self.checks or ()) if check.passed is False]

    @property
    def undecided(self) -> list[int]:
        """The records that the check could judge only in part."""
        return [row for row, check in enumerate(self.checks or ()) if check.undecided]

    def part(self, records: Sequence[int]) -> "Computed":
        """Return some of the records, in the order given."""
        of_losses = of_logits = rows_of(records, self.examples.size)
        if self.result.loss is not None:
            of_losses = rows_of(records, len(self.result.loss) // len(self.examples))
        return Computed(
            self.examples.part(records),
            self.result.part(of_logits, of_losses),
            self.checks and [self.checks[record] for record in records],
            self.derivations and [self.derivations[record] for record in records],
        )


class Verified(NamedTuple):
    """Examples of one shape that claim the same quantities, and the verdicts on their claims."""

    examples: Examples
    verification: "Verification"

    @property
    def failed(self) -> list[int]:
        """The records with a claim that failed."""
        return self.verification.failed

    @property
    def undecided(self) -> list[int]:
        """The records with a claim that could not be judged, and none that failed."""
        return self.verification.undecided

    def part(self, records: Sequence[int]) -> "Verified":
        """Return some of the records, in the order given."""
        return Verified(self.examples.part(records), self.verification.part(records))


Batch = Computed | Verified


def compute(
    fields: Sequence[str],
    examples: Examples,
    *,
    check_tolerance: float | None = None,
    explained: bool = False,
    in_float64: bool = False,
) -> Computed:
    """Compute results of the examples.

    Parameters
    ----------
    fields
        The results to compute. A check needs both gradients, in float64.
    examples
        The examples.
    check_tolerance
        The relative error at which a component fails the numerical check; None for no check.
    explained
        Whether to derive the gradients of each row.
    in_float64
        Whether to leave results in float64, not rounded to the type of the logits.
    """
    logits, objective = examples.logits, examples.objective
    dtype = np.dtype(np.float64) if in_float64 else logits.dtype
    result = compute_rows(Rows(logits, dtype, logits.shape), objective, fields)
    checks = derivations = None
    records = range(len(examples))
    if check_tolerance is not None:
        from softgrad_core.checking.check import BatchCheck, check_rows

        gradients = result.grad_probs, result.grad_logits
        of_rows = check_rows(logits, objective, gradients, check_tolerance)
        checks = [BatchCheck([of_rows[row] for row in examples.rows(record)]) for record in records]
    if explained:
        from softgrad_core.derivation.explain import explain_row

        derivations = [
            [
                explain_row(logits[row], objective.part([row]), examples.others[record])
                for row in examples.rows(record)
            ]
            for record in records
        ]
    return Computed(examples, result, checks, derivations)


def verify(examples: Examples, tolerance: "Tolerance") -> Verified:
    """Compare the claims of the examples with the exact values."""
    from softgrad_core.verification.verify import verify_rows

    verification = verify_rows(
        examples.logits,
        examples.objective,
        examples.claims,
        tolerance,
        half_units=examples.half_units,
    )
    return Verified(examples, verification)
