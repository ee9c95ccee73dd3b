"""The commands: each module has the options of one, and connects what it needs."""
