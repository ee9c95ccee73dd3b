"""Results of arrays: a .npz file, or the worst rows of verified ones."""
