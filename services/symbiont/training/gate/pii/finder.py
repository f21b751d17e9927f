"""The recognisers that some kinds need, as one."""

from collections.abc import Collection, Iterator

from symbiont.training.gate.pii.addresses import WESTERN, ChineseAddresses
from symbiont.training.gate.pii.kinds import NAMED, Found, Kind
from symbiont.training.gate.pii.names import ChineseNames, EnglishNames, check
from symbiont.training.gate.pii.recognizer import Recognizer, find_all
from symbiont.training.gate.pii.structured import STRUCTURED
from symbiont.training.gate.pii.writing import plain


class Finder:
    """Finds what tells of a person."""

    def __init__(self, kinds: Collection[Kind]) -> None:
        """Raises FailedPrecondition where a kind needs what is not installed."""
        self._kinds = frozenset(kinds)
        # All forms, even of kinds that are not wanted: what is a card is then not taken for a telephone.
        self._recognizers: list[Recognizer] = [*STRUCTURED, *WESTERN, ChineseAddresses()]
        if self._kinds & NAMED:
            check()
            self._recognizers += [ChineseNames(), EnglishNames()]

    def find(self, text: str) -> list[Found]:
        """Returns what is found in a text, in its order, without overlaps."""
        return [found for found in find_all(self._recognizers, plain(text)) if found.kind in self._kinds]


def structured_kinds() -> Iterator[Kind]:
    """Yields the kinds that need no language model."""
    return (kind for kind in Kind if kind not in NAMED)
