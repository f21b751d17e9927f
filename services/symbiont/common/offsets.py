"""Places in a text, counted in code points, bytes of UTF-8 or units of UTF-16."""

from collections.abc import Sequence
from enum import Enum, auto

import numpy as np


class OffsetUnit(Enum):
    """What offsets count."""

    CODE_POINT = auto()
    UTF8_BYTE = auto()
    UTF16_UNIT = auto()


def places(text: str, unit: OffsetUnit) -> Sequence[int]:
    """Returns for each code point of a text, and for its end, how many units come before it."""
    if unit is OffsetUnit.CODE_POINT or text.isascii():
        return range(len(text) + 1)
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    widths = 1 + (points > 0xFFFF).astype(np.int64)
    if unit is OffsetUnit.UTF8_BYTE:
        widths += (points > 0x7F).astype(np.int64) + (points > 0x7FF)
    return [0, *np.cumsum(widths).tolist()]
