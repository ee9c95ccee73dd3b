"""JSON Lines: each record as it came, with its results."""
