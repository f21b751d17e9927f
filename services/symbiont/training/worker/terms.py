"""The tokens that a tokenizer derived from a base's adds to it, and the pieces that their texts were before."""

from collections.abc import Sequence
from dataclasses import dataclass

from symbiont.common.artifacts import ArtifactStore
from symbiont.training.vocabulary import read_vocabulary
from symbiont.training.worker.examples import Tokenize


@dataclass(frozen=True)
class Term:
    """A new token; `pieces` are the tokens of its text by the base's tokenizer, unknown ones left out."""

    id: int
    pieces: tuple[int, ...]


def read_terms(
    artifacts: ArtifactStore, tokenize: Tokenize, digest: str, base_digest: str, max_tokens: int
) -> Sequence[Term]:
    """Returns the tokens that a tokenizer has and that of a base has not, by id."""
    base = read_vocabulary(artifacts, base_digest)
    added = read_vocabulary(artifacts, digest).beyond(base)
    pieces: list[list[int]] = [[] for _ in added]
    # In windows, so that no piece is cut away.
    for part in tokenize(base_digest, [token for _, token in added], max_tokens, stride=0, places=True):
        assert part.sequences is not None  # noqa: S101 - places were asked for
        pieces[part.text] += [int(i) for i in part.ids[part.sequences >= 0] if i != base.unknown_id]
    return [Term(number, tuple(found)) for (number, _), found in zip(added, pieces, strict=True)]
