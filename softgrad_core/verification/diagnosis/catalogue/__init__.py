"""The catalogue of known mistakes, sorted into families.

A new mistake is one entry in the table of its family. Where several mistakes fit, all are reported,
and the one that comes first here is named: the simplest explanation.
"""

from softgrad_core.verification.diagnosis.case import CORRECT
from softgrad_core.verification.diagnosis.catalogue.digits import LOST_DIGITS, ROUNDED
from softgrad_core.verification.diagnosis.catalogue.functions import FUNCTIONS
from softgrad_core.verification.diagnosis.catalogue.general import GENERAL
from softgrad_core.verification.diagnosis.catalogue.guards import GUARDS
from softgrad_core.verification.diagnosis.catalogue.losses import LOSSES
from softgrad_core.verification.diagnosis.catalogue.neighbours import NEIGHBOURS
from softgrad_core.verification.diagnosis.catalogue.options import FACTORS, OPTIONS
from softgrad_core.verification.diagnosis.catalogue.parts import PARTS
from softgrad_core.verification.diagnosis.catalogue.practice import PRACTICE
from softgrad_core.verification.diagnosis.catalogue.roundings import CANCELLED
from softgrad_core.verification.diagnosis.catalogue.signs import SIGNS, ZEROS
from softgrad_core.verification.diagnosis.catalogue.steps import STEPS
from softgrad_core.verification.diagnosis.catalogue.unasked import UNASKED

CATALOGUE = (
    *CANCELLED,
    *ZEROS,
    *ROUNDED,
    *GUARDS,
    *FACTORS,
    *SIGNS,
    *STEPS,
    *FUNCTIONS,
    *PRACTICE,
    *OPTIONS,
    *UNASKED,
    *PARTS,
    *LOSSES,
    *NEIGHBOURS,
    *LOST_DIGITS,
    *GENERAL,
)
"""All mistakes in the order in which they are tried and named."""

FORMS = {
    quantity: [
        (mistake, form._replace(formula=form.formula.format(right)))
        for mistake in CATALOGUE
        for form in mistake.forms
        if quantity in form.quantities.split()
    ]
    for quantity, right in CORRECT.items()
}
"""For each quantity, the mistakes and their formulas in this order."""
