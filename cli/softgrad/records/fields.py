"""The names of the fields of records: what is read, what is added, what can be claimed."""

from softgrad_core.loss.options import OPTIONS as LOSS_OPTIONS

LOGITS, TARGET, CLASSES = "logits", "target", "classes"
PROBS, LOSS, GRAD_PROBS, GRAD_LOGITS = "probs", "loss", "grad_probs", "grad_logits"
LOG_PROBS = "log_probs"
CHECK, VERIFY, EXPLAIN, ERROR, RECORD = "check", "verify", "explain", "error", "record"
DENOMINATOR, WARNING = "denominator", "warning"

OPTIONS = tuple(LOSS_OPTIONS)
"""The options of the loss."""

CLASS_WEIGHTS, REDUCTION = "class_weights", "reduction"
"""Options with readings of their own: weights come by name too, batches have a reduction."""

RESULTS = (PROBS, LOSS, GRAD_PROBS, GRAD_LOGITS)
"""What a result adds: the attributes of softgrad_core.SoftmaxCrossEntropy."""

CLAIMS = (PROBS, LOG_PROBS, LOSS, GRAD_PROBS, GRAD_LOGITS)
"""What can be verified: the parameters of softgrad_core.verify."""

NO_ROWS_COUNT = "no row counts, or every row that counts has weight 0, so the mean is NaN"
"""The warning in a result whose mean is over nothing."""
