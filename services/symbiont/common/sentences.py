"""Where the sentences of a text stand, Chinese and English alike, by rules; good enough to point at one."""

import re

# A full stop ends no sentence after these, nor after a single letter, as of a name.
_SHORT = r"(?<!\b[A-Za-z])(?<!\b(?:al|cf|Dr|Mr|Ms|No|St|vs))(?<!\b(?:Fig|Mrs|ref|e\.g|i\.e))(?<!\b(?:Figs|Prof))"
_CLOSING = r"[\"')\]’”」』）】》]*"
_END = re.compile(
    # Chinese marks stand without a space after them.
    rf"[。！？；]+{_CLOSING}"
    rf"|(?:{_SHORT}\.|[!?])[.!?]*{_CLOSING}(?=\s)"
    r"|\n+"
)


def sentences(text: str) -> list[tuple[int, int]]:
    """Returns where each sentence begins and ends, in code points, without the space around it."""
    found, start = [], 0
    for end in (*(match.end() for match in _END.finditer(text)), len(text)):
        if part := text[start:end].strip():
            at = text.index(part, start)
            found.append((at, at + len(part)))
        start = end
    return found
