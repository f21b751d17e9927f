"""The vocabulary of a base's tokenizer, read from its file: which ids there are. What is made of texts is for the
tokenization service to say.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from symbiont.common.artifacts import ArtifactStore

KIND, DEFINITION = "tokenizers", "tokenizer.json"
# The mask token, by the names that families of encoders give it.
MASKS = ("[MASK]", "<mask>")


@dataclass(frozen=True)
class Vocabulary:
    """Ids by token, special ones included; those of special tokens, and that of unknown text, if there is one."""

    ids: Mapping[str, int]
    special: frozenset[int]
    unknown_id: int | None

    @property
    def mask_id(self) -> int:
        """Id of the mask token; ValueError where there is none."""
        found = next((self.ids[name] for name in MASKS if name in self.ids), None)
        if found is None:
            raise ValueError(f"the tokenizer has no mask token: {' or '.join(MASKS)}")
        return found

    @property
    def ordinary(self) -> list[int]:
        """Ids of tokens that are not special, in order."""
        return sorted(set(self.ids.values()) - self.special - {self.mask_id})

    def beyond(self, base: "Vocabulary") -> list[tuple[int, str]]:
        """Returns the tokens, by id, that another vocabulary has not.

        Raises:
            ValueError: one of the other's has another id here, or none.
        """
        if moved := next((token for token, number in base.ids.items() if self.ids.get(token) != number), None):
            raise ValueError(f"{moved!r} has another id in it than in the tokenizer of the base")
        return sorted((number, token) for token, number in self.ids.items() if token not in base.ids)


def read_vocabulary(artifacts: ArtifactStore, digest: str) -> Vocabulary:
    """Returns the vocabulary of a stored tokenizer."""
    facts = json.loads(artifacts.read(KIND, digest, DEFINITION))
    model, added = facts["model"], facts["added_tokens"]
    ids = {**_ids_of(model["vocab"]), **{token["content"]: token["id"] for token in added}}
    unknown = model.get("unk_token")
    unknown_id = ids.get(unknown) if isinstance(unknown, str) else model.get("unk_id")
    return Vocabulary(ids, frozenset(token["id"] for token in added if token["special"]), unknown_id)


def _ids_of(vocabulary: Any) -> dict[str, int]:
    # Unigram lists pieces with their scores, in the order of their ids.
    if isinstance(vocabulary, dict):
        return vocabulary
    return {token: number for number, (token, _) in enumerate(vocabulary)}
