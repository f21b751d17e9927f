"""A catalogue of a recipe, filled from its file, and queries matched with it."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from symbiont.client import Client, NotFoundError
from symbiont.client.catalogues import Entry
from symbiont.solutions.asking import ROWS_A_CALL, SINGLE_CALLS
from symbiont.solutions.loading import Located, RecipeError
from symbiont.solutions.reading import UnreadableError, columns_of, fill, read
from symbiont.solutions.recipe_serving import CatalogueSource
from symbiont.solutions.rows import SolutionRow

# Of each query; what stands behind is not found.
TOP_K = 50
# Between the key of a catalogue's entry and the number of one of its texts.
SEVERAL = "#"


def entries_of(located: Located, source: CatalogueSource, folder: Path) -> list[Entry]:
    """Returns the entries of a catalogue's file, each text once; ids are as `key_of` reads them.

    Raises:
        RecipeError: the file or a column is missing.
    """
    place = ("serving", "catalogue")
    if not (folder / source.source.file).is_file():
        raise RecipeError([f"{located.at(*place)}: {folder / source.source.file} does not exist: mend source.file"])
    try:
        records = list(read(folder, source.source))
    except UnreadableError as exc:
        raise RecipeError([f"{located.at(*place)}: {exc}"]) from exc
    for name in ("key", "text"):
        for column in columns_of(getattr(source, name)):
            if not records:
                raise RecipeError([f"{located.at(*place)}: no row is left: look at `where`"])
            if lacking := [one for one in records if column not in one.columns]:
                raise RecipeError(
                    [f"{located.at(*place, name)}: {lacking[0].place}: it has no column {column!r}: add it"]
                )
    pairs = dict.fromkeys((str(fill(source.key, r.columns)), str(fill(source.text, r.columns))) for r in records)
    return list(_numbered(pairs))


def _numbered(pairs: "dict[tuple[str, str], None]") -> Iterator[Entry]:
    seen: Counter[str] = Counter()
    for key, text in pairs:
        seen[key] += 1
        # A key that holds the sign has a number on every text, so that of an id the last number never is the key's own.
        plain = seen[key] == 1 and SEVERAL not in key
        yield (key if plain else f"{key}{SEVERAL}{seen[key]}"), text


def key_of(entry: str) -> str:
    """Returns the key of an entry's id: `label` of `label` and `label#2`, `faq#7` of `faq#7#1`."""
    key, several, _ = entry.rpartition(SEVERAL)
    return key if several else entry


def rows_of(entries: Sequence[Entry]) -> list[SolutionRow]:
    """Returns entries as rows whose label is the key."""
    return [SolutionRow(text, label=key_of(entry)) for entry, text in entries]


def fill_catalogue(client: Client, catalogue: str, model: str, entries: Sequence[Entry]) -> None:
    """Makes the catalogue, or brings it up to date, by the version that serves now."""
    try:
        client.get_catalogue(catalogue)
    except NotFoundError:
        client.create_catalogue(catalogue, model)
        client.import_catalogue_entries(catalogue, list(entries))
    else:
        client.import_catalogue_entries(catalogue, list(entries), replace=True, model=model)


@dataclass(frozen=True)
class Searched:
    """What was found.

    Attributes:
        found: ids of entries for each text, best first.
        sure: of each text, the cosine of the best entry.
        seconds: of single calls, sorted.
    """

    found: list[list[str]]
    sure: list[float]
    seconds: list[float]


def search(client: Client, catalogue: str, texts: Sequence[str]) -> Searched:
    """Returns what a catalogue has for each text."""
    found: list[list[str]] = []
    sure: list[float] = []
    for start in range(0, len(texts), ROWS_A_CALL):
        answer = client.search_catalogue(catalogue, texts[start : start + ROWS_A_CALL], top_k=TOP_K)
        found += [[match.id for match in line.matches] for line in answer.rankings]
        sure += [line.matches[0].score if line.matches else -1.0 for line in answer.rankings]
    seconds = []
    for text in texts[:SINGLE_CALLS]:
        began = time.perf_counter()
        client.search_catalogue(catalogue, [text], top_k=TOP_K)
        seconds.append(time.perf_counter() - began)
    return Searched(found, sure, sorted(seconds))
