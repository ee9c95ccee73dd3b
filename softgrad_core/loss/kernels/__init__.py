"""The kernels for blocks of rows: compiled for logits of ordinary magnitude, NumPy for others."""
