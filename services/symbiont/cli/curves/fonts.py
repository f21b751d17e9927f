"""Fonts for texts whose letters matplotlib's own font lacks, as Chinese ones."""

from collections.abc import Iterable
from pathlib import Path

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

# Comes with matplotlib.
DEFAULT = "DejaVu Sans"
# Parts of file names of fonts with Chinese letters, the best first: any other is tried after them.
_PREFERRED = ("notosanscjk", "notosanssc", "sourcehansans", "wqy", "msyh", "pingfang", "hiragino", "simhei", "droid")


def families_for(text: str) -> list[str]:
    """Returns the fewest font families found that have the letters of a text between them, matplotlib's own first.

    Letters that no font of the machine has are left to be drawn as boxes.
    """
    families = [DEFAULT]
    missing = _letters(text) - _charmap(font_manager.findfont(DEFAULT))
    for path in _by_preference(font_manager.findSystemFonts()) if missing else ():
        if found := missing & _charmap(path):
            # The list that matplotlib keeps may be older than the font.
            font_manager.fontManager.addfont(path)
            families.append(font_manager.FontProperties(fname=path).get_name())
            missing -= found
        if not missing:
            break
    return families


def _letters(text: str) -> set[int]:
    return {ord(letter) for letter in text if letter.isprintable()}


def _charmap(path: str) -> set[int]:
    """Returns the code points that a font has; none, when it cannot be read."""
    try:
        return set(FT2Font(path).get_charmap())
    except RuntimeError:
        return set()


def _by_preference(paths: Iterable[str]) -> list[str]:
    def key(path: str) -> tuple[int, str]:
        name = Path(path).stem.lower().replace("-", "").replace(" ", "")
        # Of a family the regular face, not a bold or slanted one.
        face = any(word in name for word in ("bold", "black", "light", "thin", "italic", "oblique"))
        return next((i for i, part in enumerate(_PREFERRED) if part in name), len(_PREFERRED)) * 2 + face, path

    return sorted(paths, key=key)
