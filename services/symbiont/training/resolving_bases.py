"""A spec that makes a base, held against the tokenizers of the base that it is derived from."""

from dataclasses import replace

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import InvalidArgument, NotFound
from symbiont.training.spec import TrainingSpec
from symbiont.training.store import Store
from symbiont.training.types import BaseModel, Inputs
from symbiont.training.vocabulary import KIND, read_vocabulary


def with_tokenizer(spec: TrainingSpec, inputs: Inputs, store: Store, artifacts: ArtifactStore, under: str) -> Inputs:
    """Returns the inputs of a resolved spec with the tokenizer that it names, if it makes a base.

    Raises:
        InvalidArgument: the base's tokenizer has no mask token, or the other is not derived from it.
        NotFound: there is no such tokenizer.
    """
    if spec.masked_tokens is None:
        return inputs
    try:
        _ = read_vocabulary(artifacts, inputs.tokenizer_digest).mask_id
    except ValueError as exc:
        raise InvalidArgument(f"{under}.base_model", f"nothing can be masked: {exc}", reason="NO_MASK") from exc
    name = spec.masked_tokens.tokenizer
    if name is None:
        return inputs
    base = store.base(spec.base_model.partition("/")[2])
    digest = resolve_tokenizer(artifacts, name, base, f"{under}.masked_tokens.tokenizer")
    return replace(inputs, tokenizer_digest=digest, base_tokenizer_digest=inputs.tokenizer_digest)


def resolve_tokenizer(artifacts: ArtifactStore, name: str, base: BaseModel, field: str) -> str:
    """Returns the digest of the tokenizer of that name, which must be derived from that of a base.

    Raises:
        NotFound: there is none.
        InvalidArgument: it is not derived, or not as it should be.
    """
    key = name.partition("/")[2]
    try:
        digest = key if artifacts.exists(KIND, key) else artifacts.resolve(KIND, key)
    except NotFound as exc:
        raise NotFound(f"{name} does not exist", field=field) from exc
    if digest == base.tokenizer_digest:
        problem = f"{name} is the base's own, to which nothing was added: leave it out"
        raise InvalidArgument(field, problem, reason="NOT_DERIVED")
    if base.tokenizer_digest not in _ancestors(artifacts, digest):
        problem = f"{name} is not derived from the tokenizer of bases/{base.id}: make it with DeriveTokenizer of "
        raise InvalidArgument(field, f"{problem}tokenizers/{base.tokenizer_digest}", reason="NOT_DERIVED")
    try:
        read_vocabulary(artifacts, digest).beyond(read_vocabulary(artifacts, base.tokenizer_digest))
    except ValueError as exc:
        raise InvalidArgument(field, str(exc), reason="NOT_DERIVED") from exc
    return digest


def _ancestors(artifacts: ArtifactStore, digest: str) -> list[str]:
    """Returns the tokenizers that one was derived from, one out of the other."""
    found: list[str] = []
    while digest := str(artifacts.manifest(KIND, digest).get("parent", "")):
        found.append(digest)
    return found
