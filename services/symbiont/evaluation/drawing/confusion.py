"""Which classes are taken for which: a heat map of few classes, bars of the most frequent pairs of many."""

from collections.abc import Sequence

from symbiont.evaluation.drawing.svg import Drawing, shortened, width_of
from symbiont.evaluation.figures import Confusion
from symbiont.evaluation.words import Phrases

_MOST_LABEL = 150.0
_MOST_BARS = 15


def heat_map(labels: Sequence[str], matrix: Sequence[Sequence[int]], phrases: Phrases) -> str:
    """Returns the matrix [true][said]; a cell is the darker the more of its true class it holds."""
    cell = min(max(360.0 / len(labels), 38.0), 84.0)
    room = min(max(map(width_of, labels)), _MOST_LABEL) + 14
    left, top, size = room + 22, room * 0.75 + 34, cell * len(labels)
    alt = phrases.say("matrix_alt", count=len(labels))
    drawing = Drawing(left + size + room * 0.6, top + size + 12, phrases.say("confusions"), alt)
    drawing.text(left + size / 2, 14, phrases.say("said_class"), "middle", "quiet")
    turned = f"translate(12 {top + size / 2:.1f}) rotate(-90)"
    drawing.text(0, 0, phrases.say("true_class"), "middle", "quiet", transform=turned)
    for place, label in enumerate(labels):
        middle = cell * (place + 0.5)
        drawing.text(left - 8, top + middle + 4, shortened(label, room - 10), "end")
        turned = f"translate({left + middle:.1f} {top - 8:.1f}) rotate(-40)"
        drawing.text(0, 0, shortened(label, room - 10), transform=turned)
    for line, counts in enumerate(matrix):
        total = max(sum(counts), 1)
        for column, count in enumerate(counts):
            share = count / total
            x, y = left + cell * column, top + cell * line
            colour = "var(--a)" if line == column else "var(--b)"
            # Never so dark that the number on it is not read.
            opacity = round(0.05 + 0.5 * share, 3) if count else 0.0
            drawing.add("rect", x=x, y=y, width=cell, height=cell, fill=colour, fill_opacity=opacity, class_="grid")
            if count:
                drawing.text(
                    x + cell / 2, y + cell / 2 + 4, f"{count:,}", "middle", "strong" if share >= 0.1 else "quiet"
                )
    return str(drawing)


def pairs(confusions: Sequence[Confusion], phrases: Phrases) -> str:
    """Returns bars of the pairs of classes that are confused most."""
    shown = confusions[:_MOST_BARS]
    names = [f"{pair.truth} → {pair.predicted}" for pair in shown]
    left, width, line = min(max(map(width_of, names)), 330.0) + 20, 260.0, 22.0
    alt = phrases.say("pairs_alt", count=len(shown))
    drawing = Drawing(left + width + 60, line * len(shown) + 34, phrases.say("confusions"), alt)
    drawing.text(left - 10, 16, f"{phrases.say('true_class')} → {phrases.say('said_class')}", "end", "quiet")
    most = shown[0].rows
    for place, (pair, name) in enumerate(zip(shown, names, strict=True)):
        y = 26 + line * place
        length = width * pair.rows / most
        drawing.text(left - 10, y + 14, shortened(name, left - 16), "end")
        drawing.add("rect", x=left, y=y + 3, width=length, height=line - 7, fill="var(--b)", rx=2)
        drawing.text(left + length + 6, y + 14, f"{pair.rows:,}", class_="quiet")
    return str(drawing)
