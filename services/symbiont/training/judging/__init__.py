"""Judges a version against the one that serves, on the same rows, in a process of its own.

`work.py` is what the process is asked and says, `__main__.py` the process, `answers.py` lets a bundle answer through
the engine that serves, `judging.py` is how the service has it done.
"""
