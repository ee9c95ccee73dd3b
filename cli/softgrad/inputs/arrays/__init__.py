"""Arrays in files, read as rows of logits with their targets and claims."""
