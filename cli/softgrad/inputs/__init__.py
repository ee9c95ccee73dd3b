"""The inputs: numbers as arguments, JSON records and arrays, read as rows with a place."""
