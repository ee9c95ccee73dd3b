"""The command `softgrad`: reads records, computes with softgrad_core, renders the results."""
