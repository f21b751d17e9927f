"""The network that is trained: frozen base, method, pooling, head."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModel

from symbiont.training.heads import head_for
from symbiont.training.heads.layers import HeadLayers
from symbiont.training.methods import Method, method_for
from symbiont.training.spec import TrainingSpec
from symbiont.training.worker.dropout import drop_by_bytes
from symbiont.training.worker.examples import Example, alone, sides
from symbiont.training.worker.own_module import make
from symbiont.training.worker.precision import keep_inputs

# Far below any output, and finite: its chance is 0 and its gradient too.
FILLED = -1e4


class Network(nn.Module):
    """Token ids in, logits out."""

    def __init__(
        self,
        base: nn.Module,
        head: nn.Module,
        pooling: str,
        method: Method | None = None,
        settings: Any = None,
        *,
        on_tokens: bool = False,
        compares: bool = False,
    ) -> None:
        """`base` has the parameters of `method` in it already; `settings` are the method's. The head is on the pooled
        hidden states, or `on_tokens` on each token's; one that `compares` learns from two texts at a time.
        """
        super().__init__()
        self.base = base
        self.head = head
        self._pooling = pooling
        self._method = method or Method()
        self._settings = settings
        self._on_tokens = on_tokens
        self._compares = compares
        self._has_types = getattr(getattr(base, "config", None), "type_vocab_size", 0) > 1

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor | None = None, features: Tensor | None = None) -> Tensor:
        """Takes ids, mask and types [rows, tokens] and business features [rows, n]; returns outputs [rows, outputs], or
        [rows, tokens, outputs] of a head on tokens.
        """
        more = {"token_type_ids": types} if types is not None and self._has_types else {}
        hidden = self.base(input_ids=ids, attention_mask=mask, **more).last_hidden_state
        if self._on_tokens:
            # What fills up a short row is no token, and is never chosen.
            outputs: Tensor = self.head(hidden).masked_fill(mask[:, :, None] == 0, FILLED)
            return outputs
        pooled = self._pool(hidden, mask)
        return self.head(pooled if features is None else torch.cat([pooled, features], 1))  # type: ignore[no-any-return]

    def _pool(self, hidden: Tensor, mask: Tensor) -> Tensor:
        if self._pooling == "cls":
            return hidden[:, 0]
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1)

    @property
    def leaves_base(self) -> bool:
        """Whether the base gives for a row what it gave before, and the head takes one vector of that."""
        return self._method.leaves_base and not self._on_tokens and not self._compares

    @property
    def texts_of_row(self) -> int:
        """How many texts of a row are computed, each for itself."""
        return 2 if self._compares else 1

    @property
    def has_own_base(self) -> bool:
        """Whether the base is trained, so that what is made lives on a base of its own."""
        return self._method.makes_base

    def merged_base(self) -> nn.Module:
        """Returns the base with what was learnt in its own weights; the network is of no more use then."""
        return self._method.merged(self.base)

    def bare(self) -> "Network":
        """Returns what gives the pooled hidden states [rows, hidden size] that the head is on."""
        return Network(self.base, nn.Identity(), self._pooling)

    def trainable(self) -> dict[str, nn.Parameter]:
        """Returns the parameters that learn, by name."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def learning_rate_ratios(self) -> dict[str, float]:
        """Returns how many times faster than others each of them learns."""
        return {name: self._method.learning_rate_ratio(name, self._settings) for name in self.trainable()}

    def take(self, adapter: Mapping[str, Tensor]) -> None:
        """Takes the adapter of a bundle that was trained in the same way."""
        self._method.take(self.base, adapter)

    def begin(self, total_steps: int) -> None:
        """Prepares for a training of that length."""
        self._method.begin(self.base, self._settings, total_steps)

    def penalty(self) -> Tensor | None:
        """Returns what the method adds to the loss of a step."""
        return self._method.penalty(self.base, self._settings)

    def after_step(self, step: int) -> None:
        """Lets the method do its part after a step, from 1 on, while the gradients are there."""
        self._method.after_step(self.base, step)

    def state(self) -> Mapping[str, Tensor]:
        """Returns what the next step depends on beside the weights: of the method, and of the customer's own layers."""
        return {**self._method.state(self.base), **dict(self._buffers_of_head())}

    def restore(self, state: Mapping[str, Tensor], step: int) -> None:
        """Takes that back, as it was after a step; the weights are back already."""
        rest = dict(state)
        for name, buffer in self._buffers_of_head():
            buffer.copy_(rest.pop(name))
        self._method.restore(self.base, rest, step)

    def _buffers_of_head(self) -> Iterator[tuple[str, Tensor]]:
        return ((f"head.{name}", buffer) for name, buffer in self.head.named_buffers())


class OnFeatures(Network):
    """The head of a network, on what the base was found to give; the parameters are the network's, name and all."""

    def __init__(self, network: Network) -> None:
        super().__init__(nn.Identity(), network.head, "")

    def forward(self, features: Tensor) -> Tensor:  # type: ignore[override]  # its rows are others
        """Takes pooled hidden states [rows, hidden size]; returns logits [rows, outputs]."""
        return self.head(features)  # type: ignore[no-any-return]


def build_network(
    spec: TrainingSpec, base_folder: Path, pooling: str, settings: Any = None, features: int = 0
) -> Network:
    """Loads the base and puts method and head on it; their first values follow from the seed.

    Args:
        settings: those of the head, as it made them of the rows; none for heads that make nothing of them.
        features: values of the business fields of a row.
    """
    base: Any = AutoModel.from_pretrained(
        base_folder, dtype=torch.float32, local_files_only=True, use_safetensors=True, trust_remote_code=False
    )
    # Pooling is ours; left in, the model's own pooler would take adapters that nothing ever trains.
    if hasattr(base, "pooler"):
        base.pooler = None
    torch.manual_seed(spec.hyperparameters.seed)
    method, method_settings = method_for(spec)
    head, asked = head_for(spec)
    module = build_head(spec, head.outputs(asked if settings is None else settings), base.config.hidden_size, features)
    applied = method.apply(base, method_settings)
    # Frozen attention has nothing to learn of weights that are missing, and without it a step takes a sixth less.
    drop_by_bytes(applied, attention=method.makes_base)
    keep_inputs(applied)
    return Network(applied, module, pooling, method, method_settings, on_tokens=head.on_tokens, compares=head.compares)


def build_head(spec: TrainingSpec, outputs: int, hidden_size: int, features: int) -> nn.Module:
    """Returns the layers from hidden states, and the values of business fields, to outputs; 0 of these need none."""
    if not outputs:
        return nn.Identity()
    gated = features > 0 and spec.business_fields is not None and spec.business_fields.fusion == "FUSION_GATED"
    asked = spec.own_module
    return HeadLayers(
        hidden_size,
        outputs,
        features=features,
        gated=gated,
        hidden=spec.hidden_layers,
        make_own=partial(make, asked) if asked else None,
    )


def pad(rows: Sequence[Any]) -> tuple[Tensor, ...]:
    """Joins rows, and behind them what stands beside them, into what a network takes; see `Network.forward`.

    A plain array of ids stands for one text. The pad id is 0 for every base: masked, it has no effect.
    """
    examples = [row if isinstance(row, Example) else Example(row) for row in sides(rows)]
    longest = max(len(one.ids) for one in examples)
    ids, mask, types = (np.zeros((len(examples), longest), np.int64) for _ in range(3))
    for i, one in enumerate(examples):
        size = len(one.ids)
        ids[i, :size], mask[i, :size] = one.ids, 1
        if one.segment_start:
            types[i, one.segment_start : size] = 1
    inputs = [torch.from_numpy(ids), torch.from_numpy(mask)]
    has_features = len(examples[0].features) > 0
    if has_features or types.any():
        inputs.append(torch.from_numpy(types))
    if has_features:
        inputs.append(torch.from_numpy(np.stack([one.features for one in examples])))
    return tuple(inputs)


def stack(rows: Sequence["np.ndarray[Any, Any]"]) -> tuple[Tensor]:
    """Joins rows of features into [rows, hidden size]."""
    return (torch.from_numpy(np.stack(rows)),)


Join = Callable[[Sequence[Any]], tuple[Tensor, ...]]


@torch.inference_mode()
def infer(
    network: Network, rows: Sequence[Any], batch_size: int = 64, join: Join = pad
) -> "list[np.ndarray[Any, Any]]":
    """Returns what each row gives, [outputs] or [tokens, outputs], and behind that what stands beside them does.

    Batches are made by length, and inputs by `join`.
    """
    network.eval()
    each = [alone(row) for row in sides(rows)]
    order = sorted(range(len(each)), key=lambda i: len(each[i]))
    outputs: list[Any] = [None] * len(each)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        for i, row in zip(chosen, network(*join([each[i] for i in chosen])).float().numpy(), strict=True):
            outputs[i] = row if row.ndim == 1 else row[: len(each[i])].copy()
    return outputs
