"""What the catalogues speak of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from symbiont.common.errors import InvalidArgument
from symbiont.common.resources import check_owned_id
from symbiont.inference.types import ModelVersion

COLLECTION = "catalogues"
DEFAULT_TOP_K, MAX_TOP_K = 10, 1000

# Vectors of length 1, [entries, dimensions], in memory or mapped from a file.
Vectors = NDArray[np.float32]
# SHA-256 of texts, [entries, 32].
Digests = NDArray[np.uint8]


@dataclass(frozen=True)
class Entry:
    """A text under an id."""

    id: str
    text: str


@dataclass(frozen=True)
class Pin:
    """What embeds the entries of a catalogue, and its queries: `model` is how it was asked for."""

    model: str
    version: ModelVersion
    dimensions: int


@dataclass(frozen=True)
class IndexFacts:
    """An approximate index: its neighbourhoods, how many of them a search visits, and what it finds so.

    Attributes:
        trained_on: entries there were when the neighbourhoods were made.
        recall: share of the 10 nearest entries that are found, 0 to 1, when the version was made.
    """

    lists: int
    probes: int
    trained_on: int
    recall: float


@dataclass(frozen=True)
class CatalogueVersion:
    """One version of a catalogue: `created` is in seconds since 1970, `index` None for an exact search."""

    catalogue: str
    number: int
    digest: str
    pin: Pin
    entries: int
    salt: bytes
    created: float
    index: IndexFacts | None = None

    @property
    def name(self) -> str:
        """`catalogues/{catalogue}/versions/{number}`."""
        return f"{COLLECTION}/{self.catalogue}/versions/{self.number}"


@dataclass(frozen=True, eq=False)
class Stored:
    """What a version holds, in the order of its entries; the vectors lie in a file that is mapped."""

    version: CatalogueVersion
    ids: Sequence[str]
    digests: Digests
    vectors: Vectors


@dataclass(frozen=True)
class Changed:
    """What a change did, and the version that it led to."""

    version: CatalogueVersion
    embedded: int = 0
    unchanged: int = 0
    truncated: int = 0
    deleted: int = 0


@dataclass(frozen=True)
class ImportHeader:
    """Into which catalogue, whether what is not named goes, and the model to pin to; empty keeps the bundle."""

    name: str
    replace: bool = False
    model: str = ""


def parse_catalogue(field: str, name: str) -> tuple[str, int]:
    """Returns id and number of `catalogues/{catalogue}/versions/{version}`; without a version the number is 0."""
    collection, _, rest = name.partition("/")
    catalogue, marker, number = rest.partition("/versions/")
    known = number.isascii() and number.isdecimal() and number[:1] != "0" and len(number) < 12
    if collection != COLLECTION or (marker and not known):
        forms = "catalogues/{catalogue} or catalogues/{catalogue}/versions/{version}"
        raise InvalidArgument(field, f"{name[:200]!r} is not of the form {forms}")
    return check_owned_id(field, catalogue), int(number or 0)
