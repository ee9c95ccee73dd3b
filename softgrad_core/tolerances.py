"""How far a number may be from what it should be and still count as right."""

CHECK_TOLERANCE = 1e-12
"""The relative error at which a component fails the numerical check."""
