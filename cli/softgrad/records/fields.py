"""The names of the fields of records: what is read, what is added, what can be claimed."""

LOGITS, TARGET, CLASSES = "logits", "target", "classes"

CHECK, VERIFY, EXPLAIN, ERROR, RECORD = "check", "verify", "explain", "error", "record"

DENOMINATOR, WARNING = "denominator", "warning"

CLASS_WEIGHTS, REDUCTION = "class_weights", "reduction"

OPTIONS = (
    "label_smoothing",
    CLASS_WEIGHTS,
    "ignore_index",
    "temperature",
    REDUCTION,
    "unnormalized_target",
)
"""The options of the loss, which are the keywords of softgrad_core.LossOptions."""

PROBS, LOSS, GRAD_PROBS, GRAD_LOGITS = "probs", "loss", "grad_probs", "grad_logits"

LOG_PROBS = "log_probs"

RESULTS = (PROBS, LOSS, GRAD_PROBS, GRAD_LOGITS)
"""The fields of a result, which are the attributes of softgrad_core.SoftmaxCrossEntropy."""

CLAIMS = (PROBS, LOG_PROBS, LOSS, GRAD_PROBS, GRAD_LOGITS)
"""The fields that can be verified, which are the parameters of softgrad_core.verify."""
