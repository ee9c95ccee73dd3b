"""What computes blocks of rows: compiled for logits of usual size, NumPy for all others."""
