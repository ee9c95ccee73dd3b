"""The numerical check: gradients compared with differences of the loss in many digits."""

CHECK_TOLERANCE = 1e-12
"""The default relative error at which a component of a gradient fails the check."""
