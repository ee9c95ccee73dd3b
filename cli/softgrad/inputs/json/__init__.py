"""JSON text, read as records with their places."""
