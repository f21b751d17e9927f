"""One way of writing for the many that numbers and addresses have, place by place."""

from string import ascii_letters, digits

# Of punctuation only what stands in numbers and addresses: a full-width comma ends what an ASCII one may stand in.
_WIDE = {ord(narrow) + 0xFEE0: narrow for narrow in f"{digits}{ascii_letters}+-.@_"}
_SPACES = dict.fromkeys((0x00A0, 0x2007, 0x202F, 0x3000), " ")
_DASHES = dict.fromkeys((*range(0x2010, 0x2016), 0x2212, 0xFE63), "-")
_PLAIN = {**_WIDE, **_SPACES, **_DASHES}


def plain(text: str) -> str:
    """Returns a text of the same length with full-width letters and digits, odd spaces and dashes as ASCII has them."""
    return text.translate(_PLAIN)
