"""Arrays in files -> rows of logits with their targets and claims."""
