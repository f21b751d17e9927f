"""A customer's terms as tokens of their own: a new tokenizer out of an old one."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import AddedToken
from tokenizers import Tokenizer as LibraryTokenizer

from symbiont.common.errors import FailedPrecondition, InvalidArgument
from symbiont.common.unspaced import has_unspaced
from symbiont.tokenization.tokenizer import Tokenizer
from symbiont.tokenization.types import AddedTerm

MAX_TERMS = 10_000
MAX_TERM_CHARACTERS = 64
# What Metaspace and byte-level tokenizers put where a word begins.
_WORD_MARKS = frozenset("▁Ġ ")


@dataclass(frozen=True)
class Derived:
    """A new tokenizer.json, empty when nothing was to be added; the terms in it, and those that needed no adding."""

    definition: bytes
    added: tuple[tuple[str, int, tuple[int, ...]], ...]
    known: tuple[str, ...]

    def counted(self, sample: Sequence[Sequence[int]]) -> tuple[AddedTerm, ...]:
        """Returns the added terms with how often the rows of a sample, as the new tokenizer encodes it, have them."""
        counts: dict[int, int] = {}
        for row in sample:
            for identifier in row:
                counts[identifier] = counts.get(identifier, 0) + 1
        return tuple(AddedTerm(term, number, parents, counts.get(number, 0)) for term, number, parents in self.added)


def check_terms(terms: Sequence[str]) -> list[str]:
    """Returns the terms without repeats, stripped of the white space around them; InvalidArgument names a bad one."""
    if not 1 <= len(terms) <= MAX_TERMS:
        raise InvalidArgument("terms", f"there are {len(terms)}, 1 to {MAX_TERMS} are taken")
    kept: dict[str, None] = {}
    for index, term in enumerate(terms):
        clean = term.strip()
        if not clean:
            raise InvalidArgument(f"terms[{index}]", "it is empty")
        if len(clean) > MAX_TERM_CHARACTERS:
            raise InvalidArgument(
                f"terms[{index}]", f"it has {len(clean)} characters, at most {MAX_TERM_CHARACTERS} are taken"
            )
        if not all(c.isprintable() for c in clean):
            raise InvalidArgument(f"terms[{index}]", "it has control characters or line breaks in it")
        kept[clean] = None
    return list(kept)


def derive(parent: Tokenizer, definition: bytes, terms: Sequence[str]) -> Derived:
    """Adds terms to the tokenizer that `definition` is.

    Raises:
        FailedPrecondition: the parent is a slow tokenizer.
    """
    if parent.info.slow:
        raise FailedPrecondition(f"tokenizers/{parent.info.digest} is a slow tokenizer, which cannot be derived from")
    pieces = [content.ids for content in parent.encode(terms, detail=False)]
    unknown = parent.info.unknown_id
    known = [t for t, ids in zip(terms, pieces, strict=True) if _is_one_token(parent, ids, unknown)]
    fresh = [(t, ids) for t, ids in zip(terms, pieces, strict=True) if not _is_one_token(parent, ids, unknown)]
    if not fresh:
        return Derived(b"", (), tuple(known))
    library = LibraryTokenizer.from_buffer(definition)
    size = _next_id(library)
    added: list[tuple[str, int, tuple[int, ...]]] = []
    for term, ids in fresh:
        library.add_tokens([_added(library, term)])
        number = library.token_to_id(term)
        # Two terms that the normalizer makes one, "LPR" and "lpr" for an uncased parent, are one token already.
        if number is None or number < size:
            known.append(term)
        else:
            added.append((term, number, tuple(ids)))
    return Derived(library.to_str().encode(), tuple(added), tuple(known))


def _added(library: LibraryTokenizer, term: str) -> AddedToken:
    # Found in the text as the parent sees it, so that case counts as much as for the parent; but a normalizer that puts
    # a mark before every text would have the term found at the beginning of words alone.
    seen = library.normalizer.normalize_str(term) if library.normalizer else term
    marked = any(mark in seen and mark not in term for mark in "▁Ġ")
    # A term of a script without spaces has a letter on either side as a rule.
    return AddedToken(term, single_word=not has_unspaced(term), normalized=not marked)


def _is_one_token(parent: Tokenizer, ids: Sequence[int], unknown: int | None) -> bool:
    text = [i for i in ids if not set(parent.token_of(i) or "") <= _WORD_MARKS]
    return len(text) == 1 and text[0] != unknown


def _next_id(library: LibraryTokenizer) -> int:
    return max(library.get_vocab(with_added_tokens=True).values(), default=-1) + 1
