"""Running: blocks are read, worked on by one or many, rendered, written and reported."""
