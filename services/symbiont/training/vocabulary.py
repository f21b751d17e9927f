"""What training has to know of the tokenizer of a base: its mask, and the tokens that a derived one adds to it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from symbiont.common.artifacts import ArtifactStore

KIND, DEFINITION = "tokenizers", "tokenizer.json"
# The mask token, by the names that families of encoders give it.
MASKS = ("[MASK]", "<mask>")


@dataclass(frozen=True)
class Term:
    """A token that a derived tokenizer adds; `pieces` are what its text was before, unknown ones left out."""

    id: int
    pieces: tuple[int, ...]


@dataclass(frozen=True)
class Vocabulary:
    """The ids that masking draws from: `ordinary` are those of no special token, in order."""

    mask_id: int
    ordinary: tuple[int, ...]


def read_vocabulary(artifacts: ArtifactStore, digest: str) -> Vocabulary:
    """Returns the vocabulary of a stored tokenizer.

    Raises:
        ValueError: it has no mask token.
    """
    tokenizer, _ = _load(artifacts, digest)
    mask = next((found for name in MASKS if (found := tokenizer.token_to_id(name)) is not None), None)
    if mask is None:
        raise ValueError(f"tokenizers/{digest} has no mask token: {' or '.join(MASKS)}")
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    ids = set(tokenizer.get_vocab(with_added_tokens=True).values())
    return Vocabulary(mask, tuple(sorted(ids - special - {mask})))


def read_terms(artifacts: ArtifactStore, digest: str, base_digest: str) -> Sequence[Term]:
    """Returns the tokens that a tokenizer has and that of a base has not, by id.

    Raises:
        ValueError: a token of the base's has another id in it, or none.
    """
    (derived, _), (base, unknown) = _load(artifacts, digest), _load(artifacts, base_digest)
    known, now = base.get_vocab(with_added_tokens=True), derived.get_vocab(with_added_tokens=True)
    if moved := next((token for token, number in known.items() if now.get(token) != number), None):
        raise ValueError(f"{moved!r} has another id in it than in the tokenizer of the base")
    added = sorted((number, token) for token, number in now.items() if token not in known)
    pieces = base.encode_batch([token for _, token in added], add_special_tokens=False)
    return [
        Term(number, tuple(piece for piece in encoding.ids if piece != unknown))
        for (number, _), encoding in zip(added, pieces, strict=True)
    ]


def _load(artifacts: ArtifactStore, digest: str) -> tuple[Tokenizer, int | None]:
    """Returns a stored tokenizer, which neither cuts nor fills up, and the id of its unknown token."""
    definition = (artifacts.path(KIND, digest) / DEFINITION).read_bytes()
    tokenizer, model = Tokenizer.from_buffer(definition), json.loads(definition)["model"]
    tokenizer.no_truncation()
    tokenizer.no_padding()
    named = model.get("unk_token")
    unknown = tokenizer.token_to_id(named) if isinstance(named, str) else model.get("unk_id")
    return tokenizer, unknown
