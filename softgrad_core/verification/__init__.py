"""Somebody else's numbers: right or wrong, and which mistake gives them."""
