"""Arrays in files, read as rows of logits with their targets and claims."""

SUFFIXES = (".npy", ".npz", ".safetensors", ".pt", ".pth")
"""The endings of the names of files of arrays."""
