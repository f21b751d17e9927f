"""`symbiont demo`: the whole path on real text, from a base model to measured answers."""

from symbiont.cli.demo.command import demo

__all__ = ["demo"]
