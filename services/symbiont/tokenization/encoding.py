"""Texts into tokens, piece by piece, and what stands in common to all calls that do it."""

from collections.abc import Sequence

from symbiont.tokenization.analysis import Figures, count_words
from symbiont.tokenization.rows import Layout
from symbiont.tokenization.tokenizer import Content, Tokenizer
from symbiont.tokenization.types import Batch
from symbiont.tokenization.work import Stop

# A piece of work after which it is looked whether anybody still waits.
PIECE_TEXTS, PIECE_BYTES = 512, 1 << 20


def encode(laid: Layout, batch: Batch, stop: Stop) -> tuple[list[Content], list[Content]]:
    """Returns the tokens of the first and of the second texts; Abandoned when nobody waits for them any more."""
    small = len(batch.texts) <= PIECE_TEXTS and batch.size <= PIECE_BYTES

    def contents(texts: Sequence[str]) -> list[Content]:
        found: list[Content] = []
        for piece in [texts] if small else _pieces(texts):
            stop.check()
            found += laid.tokenizer.encode(piece, detail=laid.detail)
        return found

    return contents(batch.texts), contents(batch.pairs) if laid.pairs else []


def figures(tokenizer: Tokenizer, texts: Sequence[str], contents: Sequence[Content]) -> Figures:
    """Returns texts in figures."""
    unknown = tokenizer.info.unknown_id
    return Figures(
        words=sum(map(count_words, texts)),
        tokens=sum(len(content.ids) for content in contents),
        unknown=0 if unknown is None else sum(content.ids.count(unknown) for content in contents),
    )


def _pieces(texts: Sequence[str]) -> list[list[str]]:
    """Cuts texts into pieces, by number and by size; a text alone may be over the size."""
    pieces: list[list[str]] = []
    held = PIECE_BYTES
    for text in texts:
        if held + len(text) > PIECE_BYTES or len(pieces[-1]) == PIECE_TEXTS:
            pieces.append([])
            held = 0
        pieces[-1].append(text)
        held += len(text)
    return pieces
