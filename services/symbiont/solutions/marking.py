"""Named parts of a text, from the three ways in which files give them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from symbiont.evaluation import parts_of_tags

# Start, end and name, in code points of the text.
Mark = tuple[int, int, str]


def marks_of(text: str, raw: Any, words: str | None = None) -> list[Mark]:
    """Returns the parts of a text, in its order.

    Args:
        raw: a list of objects with start, end and label; an object of names to the words that they are of; either may
            be JSON. With `words`, a tag for each: O, B-<name>, I-<name>, divided by spaces.
        words: those of the text, divided by spaces.

    Raises:
        ValueError: it is neither, or a part does not stand in the text; says what is wrong.
    """
    if words is not None:
        return sorted(_tagged(text, words.split(), str(raw).split()))
    if isinstance(raw, str):
        raw = json.loads(raw) if raw.strip() else []
    if isinstance(raw, Mapping):
        return sorted(_named(text, raw))
    if not isinstance(raw, list) or not all(isinstance(one, Mapping) for one in raw):
        raise ValueError("parts are a list of objects with start, end and label, or an object of names to words")
    try:
        return sorted((int(one["start"]), int(one["end"]), str(one["label"])) for one in raw)
    except KeyError as exc:
        raise ValueError(f"a part has no {exc.args[0]}") from exc


def _tagged(text: str, words: Sequence[str], tags: Sequence[str]) -> Iterator[Mark]:
    if len(words) != len(tags):
        raise ValueError(f"there are {len(words)} words and {len(tags)} tags: each word needs one")
    places, end = [], 0
    for word in words:
        start = _find(text, word, end)
        end = start + len(word)
        places.append((start, end))
    for first, last, name in parts_of_tags(tags):
        yield places[first][0], places[last - 1][1], name


def _named(text: str, parts: Mapping[str, Any]) -> Iterator[Mark]:
    for name, several in parts.items():
        for word in several if isinstance(several, list) else [several]:
            start = _find(text, str(word), 0)
            yield start, start + len(str(word)), name


def _find(text: str, word: str, start: int) -> int:
    if (found := text.find(word, start)) < 0:
        raise ValueError(f"{word!r} does not stand in the text")
    return found
