"""Symbiont: shared base models, many customers, one host."""
