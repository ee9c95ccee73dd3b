"""The catalogue of known mistakes, in families: where several mistakes fit, the first is named.

The families stand in the order in which they are tried, and so do the mistakes of a family: the
simplest explanation first. A new mistake is an entry of one family.
"""

from softgrad_core.verification.diagnosis.catalogue.averages import AVERAGES
from softgrad_core.verification.diagnosis.catalogue.digits import DIGITS
from softgrad_core.verification.diagnosis.catalogue.extras import EXTRAS
from softgrad_core.verification.diagnosis.catalogue.formulas import FORMULAS
from softgrad_core.verification.diagnosis.catalogue.general import GENERAL
from softgrad_core.verification.diagnosis.catalogue.losses import LOSSES
from softgrad_core.verification.diagnosis.catalogue.mistake import Mistake
from softgrad_core.verification.diagnosis.catalogue.neighbours import NEIGHBOURS
from softgrad_core.verification.diagnosis.catalogue.options import OPTIONS
from softgrad_core.verification.diagnosis.catalogue.simplest import SIMPLEST

__all__ = ["CATALOGUE", "Mistake"]

CATALOGUE = (
    *SIMPLEST,
    *FORMULAS,
    *LOSSES,
    *OPTIONS,
    *AVERAGES,
    *EXTRAS,
    *NEIGHBOURS,
    *DIGITS,
    *GENERAL,
)
"""All mistakes, the simplest first."""
