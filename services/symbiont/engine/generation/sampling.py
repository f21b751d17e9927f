"""Chooses tokens: the likeliest, or one drawn as transformers' own generation would."""

from collections.abc import Sequence

import torch
from torch import Tensor

from symbiont.engine.generation.types import Sampling
from symbiont.engine.row import Ids


class TokenSampler:
    """The choices of one sequence. Its random numbers are its own, so that no neighbour changes them."""

    def __init__(self, sampling: Sampling, prompt: Ids, vocab_size: int, device: torch.device) -> None:
        """Begins a sequence; `prompt` are the tokens that a repetition penalty counts as seen."""
        self._sampling = sampling
        self._random = torch.Generator(device=device).manual_seed(sampling.seed)
        self._seen: Tensor | None = None
        if sampling.repetition_penalty != 1.0:
            self._seen = torch.zeros(vocab_size, dtype=torch.bool, device=device)
            self._seen[torch.tensor(prompt, dtype=torch.long, device=device)] = True

    @property
    def is_plain(self) -> bool:
        """Whether it always takes the likeliest token as it is."""
        return self._sampling.temperature == 0 and self._seen is None

    def choose(self, logits: Tensor) -> int:
        """Returns a token; logits are [vocab_size].

        Raises:
            ArithmeticError: the logits are not finite.
        """
        scores = self.scores(logits)
        if self._sampling.temperature == 0:
            token = int(scores.argmax())
        else:
            chances = scores.softmax(-1).float()
            # Before torch draws: on CUDA its own check of them ends all work of the process.
            if not chances.isfinite().all():
                raise ArithmeticError("the logits of a sequence are not finite")
            token = int(torch.multinomial(chances, 1, generator=self._random))
        if self._seen is not None:
            self._seen[token] = True
        return token

    def scores(self, logits: Tensor) -> Tensor:
        """Returns the logits with every step of the sampling done, [vocab_size] of fp64; what is left out is -inf.

        The steps and their order are those of transformers' logits processors.
        """
        sampling = self._sampling
        # A temperature or a penalty of 1e-38 is allowed, and takes logits out of the range of fp32.
        logits = logits.double()
        if self._seen is not None:
            penalty = sampling.repetition_penalty
            logits = torch.where(self._seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)
        if sampling.temperature == 0:
            return logits
        logits = logits / sampling.temperature
        if 0 < sampling.top_k < len(logits):
            logits = logits.masked_fill(logits < logits.topk(sampling.top_k).values[-1], -torch.inf)
        return _keep_top_p(logits, sampling.top_p) if sampling.top_p < 1 else logits


def choose(logits: Tensor, samplers: Sequence[TokenSampler]) -> list[int | Exception]:
    """Returns the next token of each row, or why it has none; logits are [rows, vocab_size]."""
    tokens: list[int | Exception] = logits.argmax(-1).tolist()
    for row, sampler in enumerate(samplers):
        if not sampler.is_plain:
            try:
                tokens[row] = sampler.choose(logits[row])
            except Exception as exc:  # noqa: BLE001, what one row's sampling runs into is no fault of the others
                tokens[row] = exc
    return tokens


def _keep_top_p(logits: Tensor, top_p: float) -> Tensor:
    """Keeps the likeliest tokens that reach `top_p` together (Holtzman et al. 2019, arXiv 1904.09751)."""
    ascending, order = logits.sort()
    out = ascending.softmax(-1).cumsum(-1) <= 1 - top_p
    out[-1] = False
    return logits.masked_fill(torch.zeros_like(out).scatter(0, order, out), -torch.inf)
