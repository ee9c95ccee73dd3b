"""Inputs that find mistakes in a loss function, and the smallest one that shows each."""
