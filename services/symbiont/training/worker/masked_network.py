"""The network that tells masked tokens: a base, with new tokens if there are any, and layers up to the vocabulary."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForMaskedLM
from typing_extensions import override

from symbiont.training.methods import Method, method_for
from symbiont.training.spec import TrainingSpec
from symbiont.training.worker.masking import SKIP, MaskedText
from symbiont.training.worker.network import Network
from symbiont.training.worker.terms import Term

# Of these at a time there is a number for every token of the vocabulary, when nothing is learnt.
TOKENS_AT_A_TIME = 512


class VocabularyLayers(nn.Module):
    """What transformers puts on an encoder to tell masked tokens; the last layer shares the embeddings."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        for name, module in model.named_children():
            if module is not model.base_model:
                self.add_module(name, module)

    def forward(self, hidden: Tensor) -> Tensor:
        """Takes hidden states [tokens, hidden size], returns logits [tokens, vocabulary]."""
        for name in _ORDER[next(name for name in _ORDER if hasattr(self, name))]:
            hidden = self.get_submodule(name)(hidden)
        return hidden


# The layers of each family in order, by one that it alone has: of BERT, (XLM-)RoBERTa, DistilBERT and ELECTRA.
_ORDER = {
    "cls": ("cls",),
    "lm_head": ("lm_head",),
    "vocab_projector": ("vocab_transform", "activation", "vocab_layer_norm", "vocab_projector"),
    "generator_lm_head": ("generator_predictions", "generator_lm_head"),
}


class MaskedNetwork(Network):
    """Masked token ids in, what comes of telling them out."""

    def __init__(self, base: nn.Module, layers: nn.Module, method: Method, settings: Any, *, new_layers: bool) -> None:
        """`new_layers`: those up to the vocabulary have learnt nothing yet."""
        super().__init__(base, layers, "", method, settings, on_tokens=True)
        self.new_layers = new_layers

    @override
    def forward(self, ids: Tensor, mask: Tensor, truth: Tensor) -> Tensor:  # type: ignore[override]  # its rows are others
        """Takes ids, mask and truth [rows, tokens], `SKIP` where nothing is asked; returns [rows, 3]: of the masked
        tokens of each row the sum of the negative log likelihoods, how many are right, and how many there are.
        """
        hidden = self.base(input_ids=ids, attention_mask=mask).last_hidden_state
        asked = truth != SKIP
        # Where nothing is learnt, parts go one after another.
        size = max(int(asked.sum()), 1) if torch.is_grad_enabled() else TOKENS_AT_A_TIME
        parts = zip(torch.split(hidden[asked], size), torch.split(truth[asked], size), strict=True)
        found = torch.cat([_told(self.head(states), right) for states, right in parts])
        # Row by row in the order of tokens: the sums come out the same whoever computes them.
        places = torch.zeros(*ids.shape, 3, dtype=found.dtype)
        return places.masked_scatter(asked[:, :, None], found).sum(1)


def _told(logits: Tensor, truth: Tensor) -> Tensor:
    """Returns [tokens, 3]: negative log likelihood, whether the best token is the right one, and 1."""
    surprise = functional.cross_entropy(logits, truth, reduction="none")
    right = (logits.argmax(1) == truth).to(logits.dtype)
    return torch.stack([surprise, right, torch.ones_like(surprise)], 1)


def build_masked_network(spec: TrainingSpec, base_folder: Path, terms: Sequence[Term]) -> MaskedNetwork:
    """Loads the base with its own layers up to the vocabulary, or new ones, and adds `terms`; first values follow from
    the seed.
    """
    torch.manual_seed(spec.hyperparameters.seed)
    model, found = AutoModelForMaskedLM.from_pretrained(
        base_folder,
        dtype=torch.float32,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    if terms:
        add_terms(model, terms)
    layers = VocabularyLayers(model)
    method, settings = method_for(spec)
    base = method.apply(model.base_model, settings)
    return MaskedNetwork(base, layers, method, settings, new_layers=bool(found["missing_keys"]))


@torch.no_grad()
def add_terms(model: Any, terms: Sequence[Term]) -> None:
    """Gives a model embeddings of new tokens: the mean of those of their pieces (Gee et al. 2022, arXiv 2402.09977),
    and of a token without pieces that are known the mean of all (Hewitt 2021, "Initializing New Word Embeddings for
    Pretrained Language Models"). Those of the tokens that it has stay as they are.
    """
    first = terms[0].id
    size = max(model.config.vocab_size, terms[-1].id + 1)
    model.resize_token_embeddings(size, mean_resizing=False)
    rows, bias = model.get_input_embeddings().weight, model.get_output_embeddings().bias
    for term in terms:
        pieces = list(term.pieces) or slice(0, first)
        rows[term.id], bias[term.id] = rows[pieces].mean(0), bias[pieces].mean(0)


def pad_masked(rows: Sequence[MaskedText]) -> tuple[Tensor, Tensor, Tensor]:
    """Joins masked texts into ids, mask and truth [rows, tokens]. The pad id is 0 for every base: masked, it has no
    effect.
    """
    shape = len(rows), max(len(row) for row in rows)
    ids, mask, truth = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full(shape, SKIP, np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)], truth[i, : len(row)] = row.ids, 1, row.truth
    return torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(truth)
