"""Erasure: everything that is stored of one subject is found, and forgotten."""
