"""Dots in a terminal: each character cell holds two columns of four, as a Braille pattern."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise

from rich.text import Text

# Bits of a Braille pattern (Unicode 15, chapter 21.1), by row and column inside the cell.
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BLANK = 0x2800
Dot = tuple[int, int]


class Canvas:
    """A grid of character cells; dots are counted from the top left corner. A cell has the style it got last."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self._bits = [[0] * columns for _ in range(rows)]
        self._styles = [[""] * columns for _ in range(rows)]
        self._letters: dict[tuple[int, int], str] = {}

    @property
    def width(self) -> int:
        """Dots beside each other."""
        return 2 * self.columns

    @property
    def height(self) -> int:
        """Dots above each other."""
        return 4 * self.rows

    def dot(self, x: int, y: int, style: str) -> None:
        """Sets a dot; one outside the canvas is left out."""
        if 0 <= x < self.width and 0 <= y < self.height:
            self._bits[y // 4][x // 2] |= _BITS[y % 4][x % 2]
            self._styles[y // 4][x // 2] = style

    def cross(self, x: int, y: int, style: str) -> None:
        """Sets five dots, where one alone would be overlooked."""
        for right, down in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)):
            self.dot(x + right, y + down, style)

    def path(self, dots: Iterable[Dot], style: str) -> None:
        """Connects dots by lines."""
        for start, end in pairwise(dots):
            for x, y in _between(start, end):
                self.dot(x, y, style)

    def letter(self, column: int, row: int, letter: str, style: str) -> None:
        """Writes a letter over a cell."""
        self._letters[row, column] = letter
        self._styles[row][column] = style

    def lines(self) -> Iterator[Text]:
        """Yields the rows, from the top."""
        for row, styles in enumerate(self._styles):
            line = Text()
            cells = [(style, self._cell(row, column)) for column, style in enumerate(styles)]
            for style, run in groupby(cells, key=lambda cell: cell[0]):
                line.append("".join(character for _, character in run), style)
            yield line

    def _cell(self, row: int, column: int) -> str:
        bits = self._bits[row][column]
        return self._letters.get((row, column)) or (chr(_BLANK + bits) if bits else " ")


def thinned(dots: Sequence[Dot]) -> list[Dot]:
    """Returns what is seen of dots that come from left to right: of each column the first, extreme and last ones."""
    seen: list[Dot] = []
    for _, column in groupby(dots, key=lambda dot: dot[0]):
        stack = list(column)
        seen += [stack[0], min(stack), max(stack), stack[-1]] if len(stack) > 4 else stack
    return seen


def _between(start: Dot, end: Dot) -> Iterator[Dot]:
    """Yields the dots of a straight line, both ends included."""
    across, down = end[0] - start[0], end[1] - start[1]
    count = max(abs(across), abs(down), 1)
    for i in range(count + 1):
        yield start[0] + round(i * across / count), start[1] + round(i * down / count)
