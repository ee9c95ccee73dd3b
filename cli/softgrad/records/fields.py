"""The names of the fields of records."""

from softgrad_core.loss import results
from softgrad_core.loss.options import OPTIONS as LOSS_OPTIONS

LOGITS, TARGET, CLASSES = "logits", "target", "classes"
PROBS, LOSS, GRAD_PROBS, GRAD_LOGITS = "probs", "loss", "grad_probs", "grad_logits"
LOG_PROBS, Z_LOSS = "log_probs", "z_loss"
CHECK, VERIFY, EXPLAIN, ERROR, RECORD = "check", "verify", "explain", "error", "record"
DIVISOR, WARNING = "divisor", "warning"

LOSSES = results.LOSSES
"""The results and claims that have one number for each row, or for a reduced batch."""

OPTIONS = tuple(LOSS_OPTIONS)
"""The options of the loss."""

CLASS_WEIGHTS, REDUCTION, IGNORE_INDEX = "class_weights", "reduction", "ignore_index"
NUM_CLASSES, DENOMINATOR, Z_LOSS_SCALE = "num_classes", "denominator", "z_loss_scale"
"""Options that readers treat in a way of their own."""

RESULTS = (PROBS, LOSS, Z_LOSS, GRAD_PROBS, GRAD_LOGITS)
"""The fields that a result adds."""

CLAIMS = (PROBS, LOG_PROBS, LOSS, Z_LOSS, GRAD_PROBS, GRAD_LOGITS)
"""The fields that can be verified."""

NO_ROWS_COUNT = "no row counts, or every row that counts has weight 0, so the mean is NaN"
"""The warning in a result whose mean is over nothing."""
