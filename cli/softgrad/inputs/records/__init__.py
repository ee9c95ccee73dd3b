"""JSON records -> examples of one shape."""
