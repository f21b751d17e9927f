"""Kills whatever trains, at any moment, and holds the outcome against a run that nobody disturbed."""
