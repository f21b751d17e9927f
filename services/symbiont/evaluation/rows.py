"""The held-out rows that were answered: which they are and what kinds of row, but not what they say."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Self

import numpy as np

from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.arrays import Bytes, Ints, codes_of

ID_BYTES = 16
# Of an id that says where a row is, those that are its number.
_PLACE_BYTES = 4
# A slice is to be read by people; what is rarer goes into `OTHER`.
MOST_VALUES = 50
# What is longer is a text, and texts are not kept.
MOST_LETTERS = 64
OTHER = "(other)"
# The slice by length that all rows have whose tokens were counted.
LENGTH = "length"
# Numbers with more different values than this are cut at their quartiles.
MOST_NUMBERS = 8
# Upper ends of the buckets of lengths, in tokens: fixed, so that versions can be compared.
LENGTHS = (16, 32, 64, 128, 256, 512)
SliceValue = str | float | bool | None


def _no_ints() -> Ints:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Slice:
    """Splits rows by one property. `codes` [rows] are places in `values`, -1 for a row that lacks the property."""

    name: str
    values: tuple[str, ...]
    codes: Ints

    def take(self, index: Ints) -> "Slice":
        """Returns the slice of some rows."""
        return replace(self, codes=self.codes[index])


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows by digest.

    Attributes:
        ids: what tells each row from others, [rows, 16]: by its texts (`rows_of`), or by its place (`rows_at`).
        tokens: how long each is, [rows]; empty where that is not known.
        groups: rows of one number belong together, [rows]; empty where there are no groups.
        slices: by name, each once.
    """

    ids: Bytes
    tokens: Ints = field(default_factory=_no_ints)
    groups: Ints = field(default_factory=_no_ints)
    slices: tuple[Slice, ...] = ()

    def __post_init__(self) -> None:
        parts = (self.tokens, self.groups, *(part.codes for part in self.slices))
        if self.ids.shape != (len(self.ids), ID_BYTES) or any(len(part) not in (0, len(self)) for part in parts):
            raise InvalidArgument("rows", "needs ids [rows, 16], and tokens, groups and slices one per row")
        if len({part.name for part in self.slices}) != len(self.slices):
            raise InvalidArgument("slices", "two have one name")
        if any((part.codes >= len(part.values)).any() or (part.codes < -1).any() for part in self.slices):
            raise InvalidArgument("slices", "has numbers that are not of one of the values")

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: Ints) -> Self:
        """Returns some rows, in the order of `index`."""
        return replace(
            self,
            ids=self.ids[index],
            tokens=self.tokens[index] if len(self.tokens) else self.tokens,
            groups=self.groups[index] if len(self.groups) else self.groups,
            slices=tuple(part.take(index) for part in self.slices),
        )

    def keys(self) -> list[bytes]:
        """Returns what tells each row from every other: its id, and how many of the same came before."""
        seen: Counter[bytes] = Counter()
        keys = []
        for id in map(bytes, self.ids):
            keys.append(id + seen[id].to_bytes(4, "big"))
            seen[id] += 1
        return keys


def rows_of(
    texts: Sequence[str],
    pairs: Sequence[str] = (),
    *,
    tokens: Sequence[int] = (),
    groups: Sequence[str] = (),
    slices: Mapping[str, Sequence[SliceValue]] | None = None,
) -> Rows:
    """Returns rows without their texts, known by what these are.

    Args:
        texts: of each row.
        pairs: the second texts; none, or one per row.
        tokens: lengths; with them there is a slice `length`.
        groups: rows of one name belong together; an empty name stands for a group of its own.
        slices: by name a value per row, None where a row lacks it. Numbers are cut at their quartiles; names that are
            rare or too long to be names become `(other)`.

    Raises:
        InvalidArgument: something has not one value per row.
    """
    if len(pairs) not in (0, len(texts)):
        raise InvalidArgument("pairs", f"has {len(pairs)} values for {len(texts)} rows")
    seconds = pairs or [""] * len(texts)
    ids = [row_id(text, pair) for text, pair in zip(texts, seconds, strict=True)]
    return _rows(ids, tokens, groups, slices or {})


def rows_at(
    places: Sequence[tuple[str, int]],
    *,
    tokens: Sequence[int] = (),
    groups: Sequence[str] = (),
    slices: Mapping[str, Sequence[SliceValue]] | None = None,
) -> Rows:
    """Returns rows that are known by where they are: what is kept of them tells nobody what they say.

    Args:
        places: of each row the digest of its dataset, in hexadecimal, and its number there, from 0.
        tokens: as of `rows_of`.
        groups: as of `rows_of`.
        slices: as of `rows_of`.

    Raises:
        InvalidArgument: something has not one value per row.
    """
    return _rows([place_id(*place) for place in places], tokens, groups, slices or {})


def place_id(dataset: str, place: int) -> bytes:
    """Returns the 16 bytes of a row by its dataset's digest, in hexadecimal, and its number there."""
    return bytes.fromhex(dataset)[: ID_BYTES - _PLACE_BYTES] + place.to_bytes(_PLACE_BYTES, "big")


def place_of(id: str, dataset: str) -> int | None:
    """Returns the number of the row of an id, in hexadecimal, in a dataset; None where it is not one of its rows."""
    known = bytes.fromhex(id)
    place = int.from_bytes(known[-_PLACE_BYTES:], "big")
    return place if known == place_id(dataset, place) else None


def _rows(
    ids: Sequence[bytes], tokens: Sequence[int], groups: Sequence[str], slices: Mapping[str, Sequence[SliceValue]]
) -> Rows:
    for name, part in (("tokens", tokens), ("groups", groups), *slices.items()):
        if len(part) not in (0, len(ids)):
            raise InvalidArgument(name, f"has {len(part)} values for {len(ids)} rows")
    lengths = np.asarray(tokens, np.int64)
    found = [slice_of(name, values) for name, values in slices.items()]
    if len(lengths) and LENGTH not in slices:
        found.append(length_slice(lengths))
    return Rows(
        ids=np.frombuffer(b"".join(ids), np.uint8).reshape(-1, ID_BYTES),
        tokens=lengths,
        groups=codes_of([name or index for index, name in enumerate(groups)])[0],
        slices=tuple(found),
    )


def row_id(text: str, pair: str = "") -> bytes:
    """Returns 16 bytes that stand for a row: the same texts have the same ones.

    They tell no text, but whoever guesses one can tell whether it was there.
    """
    first = text.encode("utf-8", "surrogatepass")
    second = pair.encode("utf-8", "surrogatepass")
    return hashlib.sha256(len(first).to_bytes(8, "big") + first + second).digest()[:ID_BYTES]


def length_slice(tokens: Ints) -> Slice:
    """Returns the slice of rows by length, in tokens."""
    names = [f"{low + 1}-{high}" for low, high in pairwise((0, *LENGTHS))]
    return Slice(LENGTH, (*names, f"over {LENGTHS[-1]}"), np.searchsorted(LENGTHS, tokens).astype(np.int64))


def slice_of(name: str, values: Sequence[SliceValue]) -> Slice:
    """Returns the slice of rows by a property of each."""
    there = [value for value in values if value is not None]
    numbers = {float(value) for value in there if not isinstance(value, str | bool)}
    if len(numbers) > MOST_NUMBERS and not any(isinstance(value, str | bool) for value in there):
        return _by_quartile(name, values)
    words = [None if value is None else _word(value) for value in values]
    counted = Counter(word for word in words if word is not None)
    kept = sorted(word for word, _ in counted.most_common(MOST_VALUES) if word != OTHER)
    names = (*kept, OTHER) if len(kept) < len(counted) else tuple(kept)
    place = {word: index for index, word in enumerate(names)}
    codes = [-1 if word is None else place.get(word, len(kept)) for word in words]
    return Slice(name, names, np.asarray(codes, np.int64))


def _word(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    word = value if isinstance(value, str) else f"{value:g}"
    return word if len(word) <= MOST_LETTERS else OTHER


def _by_quartile(name: str, values: Sequence[SliceValue]) -> Slice:
    numbers = np.array([np.nan if value is None else float(value) for value in values])
    there = ~np.isnan(numbers)
    edges = np.unique(np.quantile(numbers[there], (0, 0.25, 0.5, 0.75, 1)))
    codes = np.where(there, np.searchsorted(edges[1:-1], numbers, side="left"), -1)
    names = [f"{low:.3g} to {high:.3g}" for low, high in pairwise(edges)]
    return Slice(name, tuple(names), codes.astype(np.int64))
