"""The numerical check: gradients beside differences of the loss, which shares no code with them."""

CHECK_TOLERANCE = 1e-12
"""The relative error at which a component fails the numerical check."""
