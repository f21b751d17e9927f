"""What was answered before, kept so that it need not be computed again: see adr/0013."""

from symbiont.inference.cache.responses import ResponseCache

__all__ = ["ResponseCache"]
