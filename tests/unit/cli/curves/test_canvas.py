"""Braille patterns by their dots."""

from symbiont.cli.curves.canvas import Canvas, thinned


def plain(canvas: Canvas) -> list[str]:
    return [line.plain for line in canvas.lines()]


def test_dots_are_the_bits_of_a_pattern() -> None:
    canvas = Canvas(3, 1)
    for y in range(4):
        canvas.dot(0, y, "")
    canvas.dot(3, 0, "")
    canvas.dot(3, 3, "")
    canvas.dot(6, 0, "")
    canvas.dot(0, -1, "")
    assert plain(canvas) == ["⡇⢈ "]


def test_a_path_connects_and_a_cross_is_five_dots() -> None:
    canvas = Canvas(2, 2)
    canvas.path([(0, 7), (3, 4), (3, 0)], "")
    assert plain(canvas) == [" ⢸", "⡠⠊"]
    canvas = Canvas(2, 1)
    canvas.cross(1, 1, "")
    assert plain(canvas) == ["⠺⠂"]


def test_a_cell_has_its_last_style_and_a_letter_stands_over_dots() -> None:
    canvas = Canvas(3, 1)
    canvas.path([(0, 0), (5, 0)], "red")
    canvas.dot(2, 1, "blue")
    canvas.letter(2, 0, "a", "red")
    (line,) = canvas.lines()
    assert line.plain == "⠉⠋a"
    assert [(span.start, span.end, span.style) for span in line.spans] == [(0, 1, "red"), (1, 2, "blue"), (2, 3, "red")]


def test_thinning_keeps_the_ends_and_the_extremes_of_a_column() -> None:
    dots = [(0, 5), *((1, y) for y in (4, 9, 2, 7, 0, 6)), (2, 1)]
    assert thinned(dots) == [(0, 5), (1, 4), (1, 0), (1, 9), (1, 6), (2, 1)]
