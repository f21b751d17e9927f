"""Which tokens of a text are hidden, and behind what: a function of seed, pass and row, so that a resumed training
masks what an undisturbed one does, however its steps are cut into parts or spread over ranks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from symbiont.training.heads.masked_tokens import masked_count, places_of
from symbiont.training.vocabulary import Vocabulary
from symbiont.training.worker.examples import Encoded, Ints

# What nothing is learnt of.
SKIP = -100
# Of the chosen tokens so many become the mask, and so many another token; the rest stay (Devlin et al. 2018, A.1).
MASKED, REPLACED = 0.8, 0.1
_LEARNT, _JUDGED = 0x3A5C, 0x3A5D


@dataclass(frozen=True, slots=True, eq=False)
class MaskedText:
    """What a network sees of a text, and what it is to tell.

    Attributes:
        ids: [tokens], special ones included.
        truth: [tokens]: the id of each chosen token, `SKIP` for the others.
    """

    ids: Ints
    truth: Ints

    def __len__(self) -> int:
        return len(self.ids)


class Masking:
    """How texts are masked."""

    def __init__(self, vocabulary: Vocabulary, fraction: float, seed: int, *, whole_words: bool = False) -> None:
        self._mask_id = vocabulary.mask_id
        self._ordinary = np.array(vocabulary.ordinary, np.int64)
        self._fraction = fraction
        self._seed = seed
        self._whole_words = whole_words

    def learnt(self, texts: Sequence[Encoded], epoch: int) -> "MaskedTexts":
        """Returns texts as they are learnt in a pass, from 0."""
        return MaskedTexts(self, texts, (self._seed, _LEARNT, epoch))

    def judged(self, texts: Sequence[Encoded]) -> "MaskedTexts":
        """Returns texts as they are judged, the same way whenever they are."""
        return MaskedTexts(self, texts, (self._seed, _JUDGED))

    def mask(self, text: Encoded, random: np.random.Generator) -> MaskedText:
        """Hides some tokens of a text."""
        chosen = self._choose(text, random)
        ids, truth = text.ids.copy(), np.full(len(text.ids), SKIP, np.int64)
        truth[chosen] = text.ids[chosen]
        fate = random.random(len(chosen))
        others = self._ordinary[random.integers(0, len(self._ordinary), len(chosen))]
        ids[chosen] = np.where(fate < MASKED, self._mask_id, np.where(fate < MASKED + REPLACED, others, ids[chosen]))
        return MaskedText(ids, truth)

    def _choose(self, text: Encoded, random: np.random.Generator) -> "np.ndarray[Any, Any]":
        candidates = np.flatnonzero(places_of(text) >= 0)
        wanted = masked_count(text, self._fraction)
        if not self._whole_words or text.words is None:
            return random.permutation(candidates)[:wanted]
        _, word_of = np.unique(text.words[candidates], return_inverse=True)
        sizes = np.bincount(word_of)
        order = random.permutation(len(sizes))
        # The first word is taken however long it is; a later one that would be too much is left for shorter ones.
        taken, total = np.zeros(len(sizes), bool), 0
        for word in order:
            if not total or total + sizes[word] <= wanted:
                taken[word], total = True, total + sizes[word]
        return candidates[taken[word_of]]


class MaskedTexts(Sequence[MaskedText]):
    """Texts that are masked when they are asked for: a pass over many would not fit into memory beside them."""

    def __init__(self, masking: Masking, texts: Sequence[Encoded], seeds: tuple[int, ...]) -> None:
        self._masking = masking
        self._texts = texts
        self._seeds = seeds

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, index: int) -> MaskedText: ...
    @overload
    def __getitem__(self, index: slice) -> list[MaskedText]: ...
    def __getitem__(self, index: int | slice) -> MaskedText | list[MaskedText]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._masking.mask(self._texts[index], np.random.default_rng([*self._seeds, int(index)]))
