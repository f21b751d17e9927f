"""The `symbiont` command: runs the suite on one machine, and calls a suite wherever it runs."""
