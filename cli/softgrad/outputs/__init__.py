"""Results -> text or arrays, in every format. Only file.py writes."""
