"""The lecture's derivation of both gradients as data: formulas, steps, and both sides evaluated."""
