"""The interface behind which a language model computes; no torch in it."""

from collections.abc import Sequence
from typing import Any, Protocol

from symbiont.engine.generation.types import GeneratorFacts, Sampling
from symbiont.engine.row import Ids

# A model's own state of one sequence's choices; nobody else looks inside.
Sampler = Any


class Rows(Protocol):
    """Sequences that step together, with their keys and values. No row's tokens depend on another's."""

    def __len__(self) -> int:
        """Number of sequences."""
        ...

    def choose(self, samplers: Sequence[Sampler]) -> list[int | Exception]:
        """Returns the next token of each row, or what its sampler raised."""
        ...

    def advance(self, tokens: Sequence[int]) -> None:
        """Takes one token more into each row."""
        ...

    def keep(self, indices: Sequence[int]) -> None:
        """Drops all rows but these."""
        ...

    def join(self, other: "Rows") -> bool:
        """Takes the rows of another in behind its own; False, and nothing done, where these cannot step together."""
        ...


class Prefill(Protocol):
    """A prompt on its way into the model."""

    def advance(self, max_tokens: int) -> Rows | None:
        """Takes at most so many tokens in; returns the row once all are."""
        ...


class LanguageModel(Protocol):
    """A language model in memory. Calls do not overlap: the generator sees to it."""

    @property
    def facts(self) -> GeneratorFacts:
        """The model that is loaded."""
        ...

    def sampler(self, sampling: Sampling, prompt: Ids) -> Sampler:
        """Returns what chooses the tokens of one sequence."""
        ...

    def begin(self, prompt: Ids) -> Prefill:
        """Begins to take a prompt in."""
        ...
