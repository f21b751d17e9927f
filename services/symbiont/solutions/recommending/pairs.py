"""Ratings as what was liked before and what was liked next, cut in two by time."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from symbiont.solutions.loading import Located, RecipeError
from symbiont.solutions.reading import Record, UnreadableError, columns_of, fill, read
from symbiont.solutions.recipe_rows import Recommendation, Source
from symbiont.solutions.rows import SolutionRow


@dataclass(frozen=True)
class Rating:
    """Somebody rated something at a time, in seconds."""

    user: str
    item: str
    value: float
    time: float


@dataclass(frozen=True)
class Histories:
    """Ratings before a time, and what was liked after it.

    Attributes:
        texts: of items, by id.
        before: liked items by user, oldest first.
        seen: rated items by user: what is known is not recommended.
        after: items liked later by users that have a history, none of which they had rated.
        counts: how often each item was liked before.
    """

    texts: Mapping[str, str]
    before: Mapping[str, Sequence[str]]
    seen: Mapping[str, frozenset[str]]
    after: Mapping[str, frozenset[str]]
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def items(self) -> list[str]:
        """Every item, in an order that the ids decide."""
        return sorted(self.texts)

    def query(self, user: str, history: int) -> str:
        """Returns what a user liked lately as one text, the latest first."""
        return joined([self.texts[item] for item in self.before[user][-history:][::-1]])


def joined(texts: Sequence[str]) -> str:
    """Returns texts of items as a query."""
    return " | ".join(texts)


def read_histories(located: Located, folder: Path, most: int | None = None) -> Histories:
    """Reads ratings and items; `most` takes the histories of so many users only.

    Raises:
        RecipeError: a file is missing or cannot be read so, or nothing is left of a side.
    """
    recipe = located.recipe.recommendation
    if recipe is None:
        raise RecipeError([f"{located.path}: it has no section `recommendation`"])
    items = _records(located, folder, recipe.items, "items", [recipe.item, *columns_of(recipe.text)])
    named = [recipe.user, recipe.item, recipe.rating, recipe.time]
    ratings = _records(located, folder, recipe.ratings, "ratings", named)
    texts = {str(one.columns[recipe.item]): str(fill(recipe.text, one.columns)) for one in items}
    try:
        told = [_rating(recipe, one) for one in ratings]
    except ValueError as exc:
        raise RecipeError([f"{located.at('recommendation', 'rating')}: {recipe.ratings.file}: {exc}"]) from exc
    users = sorted({one.user for one in told})[:most]
    found = histories_of(recipe, texts, [one for one in told if one.user in set(users) and one.item in texts])
    if not found.after:
        place = located.at("recommendation", "test_fraction")
        raise RecipeError([f"{place}: nobody with a history likes anything later: give more ratings, or more of them"])
    return found


def histories_of(recipe: Recommendation, texts: Mapping[str, str], ratings: Sequence[Rating]) -> Histories:
    """Returns ratings cut in two by time, as the recipe says."""
    earlier, later = _cut(recipe, sorted(ratings, key=lambda one: (one.time, one.user, one.item)))
    before: dict[str, list[str]] = defaultdict(list)
    seen: dict[str, set[str]] = defaultdict(set)
    counts: Counter[str] = Counter()
    for one in earlier:
        seen[one.user].add(one.item)
        if one.value >= recipe.liked:
            before[one.user].append(one.item)
            counts[one.item] += 1
    after: dict[str, set[str]] = defaultdict(set)
    for one in later:
        if one.value >= recipe.liked and one.user in before and one.item not in seen[one.user]:
            after[one.user].add(one.item)
    known = {user: frozenset(items) for user, items in seen.items()}
    return Histories(texts, dict(before), known, {user: frozenset(items) for user, items in after.items()}, counts)


def _cut(recipe: Recommendation, ordered: Sequence[Rating]) -> tuple[list[Rating], list[Rating]]:
    """Returns ratings before the cut and after it: one cut for all, or one for each user."""
    if recipe.cut == "time":
        place = len(ordered) - round(recipe.test_fraction * len(ordered))
        return list(ordered[:place]), list(ordered[place:])
    of_users: dict[str, list[Rating]] = defaultdict(list)
    for one in ordered:
        of_users[one.user].append(one)
    earlier: list[Rating] = []
    later: list[Rating] = []
    for own in of_users.values():
        place = len(own) - round(recipe.test_fraction * len(own))
        earlier, later = earlier + own[:place], later + own[place:]
    return earlier, later


def training_pairs(histories: Histories, recipe: Recommendation) -> list[SolutionRow]:
    """Returns a row for each liked item that has a history before it: the history, and the item as its pair.

    Of each user the latest ones, where the recipe says how many.
    """
    rows = []
    for user, liked in sorted(histories.before.items()):
        first = max(1, len(liked) - recipe.latest) if recipe.latest else 1
        for place in range(first, len(liked)):
            earlier = liked[max(0, place - recipe.history) : place][::-1]
            query = joined([histories.texts[item] for item in earlier])
            rows.append(SolutionRow(query, histories.texts[liked[place]], group=user))
    return rows


def held_pairs(histories: Histories, recipe: Recommendation) -> list[SolutionRow]:
    """Returns one row for each user that is judged: the history, and one of the items liked later."""
    return [
        SolutionRow(histories.query(user, recipe.history), histories.texts[min(liked)], group=user)
        for user, liked in sorted(histories.after.items())
    ]


def _rating(recipe: Recommendation, record: Record) -> Rating:
    cells = record.columns
    value, time = float(cells[recipe.rating]), float(cells[recipe.time])
    return Rating(str(cells[recipe.user]), str(cells[recipe.item]), value, time)


def _records(located: Located, folder: Path, source: Source, side: str, columns: Sequence[str]) -> list[Record]:
    place = located.at("recommendation", side)
    if not (folder / source.file).is_file():
        raise RecipeError([f"{place}: {folder / source.file} does not exist: name its folder with --data"])
    try:
        records = list(read(folder, source))
    except UnreadableError as exc:
        raise RecipeError([f"{place}: {exc}"]) from exc
    there = records[0].columns if records else {}
    if missing := [column for column in columns if column not in there]:
        raise RecipeError(
            [f"{place}: {source.file} has no column {missing[0]!r}: it has {', '.join(there) or 'no row'}"]
        )
    return records
