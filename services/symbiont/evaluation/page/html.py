"""Elements of HTML that is also well-formed XML; whatever is not an element is escaped."""

from symbiont.evaluation.markup import escaped, quoted

_EMPTY = {"br", "meta", "hr"}


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def element(tag: str, /, *children: str, **attributes: str) -> Html:
    """Returns an element; children that are not Html are escaped. `class_` stands for class, `_` in names for `-`."""
    listed = "".join(
        f" {key.rstrip('_').replace('_', '-')}={quoted(value)}" for key, value in attributes.items() if value
    )
    if tag in _EMPTY:
        return Html(f"<{tag}{listed} />")
    inside = "".join(child if isinstance(child, Html) else escaped(child) for child in children)
    return Html(f"<{tag}{listed}>{inside}</{tag}>")


def join(*parts: str) -> Html:
    """Returns parts one after the other; what is not Html is escaped."""
    return Html("".join(part if isinstance(part, Html) else escaped(part) for part in parts))


def table(head: "list[str]", rows: "list[list[str]]", numbers: int) -> Html:
    """Returns a table whose last `numbers` columns are numbers; nothing without rows."""
    if not rows:
        return Html("")
    first = len(head) - numbers

    def line(name: str, cells: "list[str]") -> Html:
        return element(
            "tr", *(element(name, cell, class_="n" if place >= first else "") for place, cell in enumerate(cells))
        )

    body = element("tbody", *(line("td", row) for row in rows))
    return element("div", element("table", element("thead", line("th", head)), body), class_="wide")
