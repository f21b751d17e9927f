"""From a tag for each word to named parts."""

from collections.abc import Iterable, Sequence

from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.outcomes import Ragged, ragged

# (start, end, name); of words here, of code points in an outcome.
Part = tuple[int, int, str]


def parts_of_tags(tags: Sequence[str]) -> list[Part]:
    """Returns the parts that tags `O`, `B-<type>` and `I-<type>` mark, `end` exclusive.

    Strict, as seqeval's `mode="strict", scheme=IOB2`: a part begins at a B, and an I that follows no part of its type
    marks nothing.
    """
    found: list[Part] = []
    start, name = 0, ""
    for index, tag in enumerate((*tags, "O")):
        goes_on = name and tag == f"I-{name}"
        if name and not goes_on:
            found.append((start, index, name))
        if not goes_on:
            start, name = index, tag[2:] if tag.startswith("B-") else ""
    return found


def parts_by_row(rows: Iterable[Iterable[Part]], types: Sequence[str]) -> Ragged:
    """Returns the parts of each row with places in `types` for names.

    Raises:
        InvalidArgument: a name is none of the types.
    """
    place = {name: index for index, name in enumerate(types)}
    try:
        return ragged([[(start, end, place[name]) for start, end, name in parts] for parts in rows], 3)
    except KeyError as exc:
        raise InvalidArgument("types", f"{exc.args[0]!r} is not one of them") from exc
