"""Curves of training jobs: read from their events, drawn in the terminal, or written to a picture or a table."""
