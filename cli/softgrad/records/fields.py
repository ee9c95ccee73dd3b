"""The names of the fields of records."""

from softgrad_core.loss.options import OPTIONS as LOSS_OPTIONS

LOGITS, TARGET, CLASSES = "logits", "target", "classes"
PROBS, LOSS, GRAD_PROBS, GRAD_LOGITS = "probs", "loss", "grad_probs", "grad_logits"
LOG_PROBS = "log_probs"
CHECK, VERIFY, EXPLAIN, ERROR, RECORD = "check", "verify", "explain", "error", "record"
DIVISOR, WARNING = "divisor", "warning"

OPTIONS = tuple(LOSS_OPTIONS)
"""The options of the loss."""

CLASS_WEIGHTS, REDUCTION, IGNORE_INDEX = "class_weights", "reduction", "ignore_index"
NUM_CLASSES, DENOMINATOR = "num_classes", "denominator"
"""Options that readers treat in a way of their own."""

RESULTS = (PROBS, LOSS, GRAD_PROBS, GRAD_LOGITS)
"""The fields that a result adds."""

CLAIMS = (PROBS, LOG_PROBS, LOSS, GRAD_PROBS, GRAD_LOGITS)
"""The fields that can be verified."""

NO_ROWS_COUNT = "no row counts, or every row that counts has weight 0, so the mean is NaN"
"""The warning in a result whose mean is over nothing."""
