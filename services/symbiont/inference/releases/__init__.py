"""Releases: a version is tried on the calls of an alias, watched, and taken back by itself when it breaks a rule."""
