"""Named parts without training: words that were marked in the rows to learn from are marked where they stand again."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from symbiont.evaluation import Tagged
from symbiont.solutions.marking import Mark
from symbiont.solutions.outcomes import tagged
from symbiont.solutions.recipe import Recipe
from symbiont.solutions.rows import SolutionRow


def dictionary(recipe: Recipe, train: Sequence[SolutionRow], test: Sequence[SolutionRow]) -> Tagged:
    """Returns the longest words known, from left to right, each with the name that it had most often."""
    names: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in train:
        for part in row.label:
            names[row.text[part["start"] : part["end"]].lower()][part["label"]] += 1
    known = {word: counts.most_common(1)[0][0] for word, counts in names.items()}
    longest = max(map(len, known), default=0)
    return tagged(test, [list(_marks(row.text.lower(), known, longest)) for row in test])


def _marks(text: str, known: Mapping[str, str], longest: int) -> Iterator[Mark]:
    start = 0
    while start < len(text):
        ends = range(min(len(text), start + longest), start, -1)
        end = next((end for end in ends if text[start:end] in known and _is_whole(text, start, end)), 0)
        if end:
            yield start, end, known[text[start:end]]
        start = end or start + 1


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether no letters of the same word stand beside it; in Chinese, none do."""
    before, after = text[start - 1 : start], text[end : end + 1]
    return not (_joined(before, text[start]) or _joined(text[end - 1], after))


def _joined(one: str, other: str) -> bool:
    return bool(one and other) and all(letter.isascii() and letter.isalnum() for letter in (one, other))
