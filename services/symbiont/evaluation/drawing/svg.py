"""Pictures as SVG that is read on light and on dark paper, alone or inside a page; no script, no font, no file."""

import math

from symbiont.evaluation.markup import escaped, quoted

# Where a page sets them, its colours are taken.
_STYLE = """
.sy{--p:#fff;--i:#1f2328;--m:#59636e;--l:#d5dbe1;--a:#0b66c3;--b:#c2570c;--r:#c62f28;--g:#1a7f37;--v:#7a3ec8;
--t:#0f7f86;font-family:system-ui,"Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif;font-size:12px}
@media (prefers-color-scheme:dark){.sy{--p:#14181d;--i:#e6edf3;--m:#9aa4af;--l:#3a424b;--a:#5aa9ff;--b:#f08a3c;
--r:#ff7b72;--g:#45c25a;--v:#b893f5;--t:#4cc5cc}}
@media print{.sy{--p:#fff;--i:#1f2328;--m:#59636e;--l:#d5dbe1;--a:#0b66c3;--b:#c2570c;--r:#c62f28;--g:#1a7f37;
--v:#7a3ec8;--t:#0f7f86}}
.sy .paper{fill:var(--p)}.sy text{fill:var(--i)}.sy .quiet{fill:var(--m)}.sy .grid{stroke:var(--l);stroke-width:1}
.sy .axis{stroke:var(--m);stroke-width:1}.sy .ideal{stroke:var(--m);stroke-width:1;stroke-dasharray:4 4;fill:none}
.sy .curve{fill:none;stroke-width:2;stroke-linejoin:round}.sy .strong{font-weight:600}
"""
# Of the series of a picture, in order: none is told by colour alone.
COLOURS = ("var(--a)", "var(--b)", "var(--v)", "var(--t)", "var(--r)")
DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 4")


class Drawing:
    """A picture of so many pixels, in which things are added one over the other."""

    def __init__(self, width: float, height: float, title: str, alt: str) -> None:
        """`alt` is for those who do not see it."""
        self.width, self.height = width, height
        self._title, self._alt = title, alt
        self._parts: list[str] = []

    def add(self, name: str, text: str = "", **attributes: object) -> None:
        """Adds an element; `class_` stands for class, and `_` in other names for `-`."""
        listed = "".join(f" {_name(key)}={quoted(_value(value))}" for key, value in attributes.items() if value != "")
        self._parts.append(f"<{name}{listed}>{escaped(text)}</{name}>" if text else f"<{name}{listed}/>")

    def line(self, x1: float, y1: float, x2: float, y2: float, class_: str = "grid", **more: object) -> None:
        """Adds a straight line."""
        self.add("line", "", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_, **more)

    def text(self, x: float, y: float, text: str, anchor: str = "start", class_: str = "", **more: str) -> None:
        """Adds a line of text, y at its foot."""
        self.add("text", text, x=x, y=y, text_anchor=anchor, class_=class_, **more)

    def __str__(self) -> str:
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="sy" role="img" width="{_value(self.width)}" '
            f'height="{_value(self.height)}" viewBox="0 0 {_value(self.width)} {_value(self.height)}" '
            f"aria-label={quoted(self._alt)}>"
        )
        named = (
            f"<title>{escaped(self._title)}</title><desc>{escaped(self._alt)}</desc><style>{escaped(_STYLE)}</style>"
        )
        paper = '<rect class="paper" width="100%" height="100%"/>'
        return f"{head}{named}{paper}{''.join(self._parts)}</svg>"


def _name(key: str) -> str:
    return "viewBox" if key == "view_box" else key.rstrip("_").replace("_", "-")


def _value(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def width_of(text: str) -> float:
    """Returns about how wide a text is, in pixels at 12: Chinese letters are wide."""
    return sum(12.0 if ord(letter) > 0x2E80 else 6.6 for letter in text)


def shortened(text: str, width: float) -> str:
    """Returns as much of a text as fits in so many pixels."""
    if width_of(text) <= width:
        return text
    while text and width_of(text) + 8 > width:
        text = text[:-1]
    return f"{text}…"


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Returns at most so many round values from low to high, which differ."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(
        power * factor for factor in (1, 2, 5, 10, 20) if (high - low) / (power * factor) <= most - 1 or factor == 20
    )
    return [
        round(step * place, 12) for place in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    ]
