"""Inputs by chance: messages of every method, and files for every reader. `make fuzz` runs a million."""
