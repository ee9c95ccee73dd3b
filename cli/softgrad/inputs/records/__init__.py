"""JSON records, understood as examples of one shape."""
