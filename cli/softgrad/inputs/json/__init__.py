"""JSON text -> records with their places."""
