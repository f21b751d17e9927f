"""Text inside XML and HTML."""

from xml.sax.saxutils import escape, quoteattr


def escaped(text: str) -> str:
    """Returns a text as the content of an element."""
    return escape(_clean(text))


def quoted(text: str) -> str:
    """Returns a text as the value of an attribute, with its quotes."""
    return quoteattr(_clean(text))


def _clean(text: str) -> str:
    """Returns a text without the characters that no XML may hold, escaped or not."""
    return "".join(letter for letter in text if letter in "\t\n" or _allowed(ord(letter)))


def _allowed(point: int) -> bool:
    return 0x20 <= point < 0xD800 or 0xDFFF < point < 0xFFFE or point > 0xFFFF
