"""Dropout that does not wait for random numbers: for each value torch draws one of 64 bits on CPU, an eighth of a step.

Here a byte decides, so that shares are rounded to 256ths, and what is left is scaled by what they became.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from typing_extensions import override

NAME, WHOLE = "sdpa_dropped_by_bytes", "sdpa_whole"
STEPS = 256
# Of a word that is drawn.
WORD_BYTES, LEAST_WORD = 8, -(2**63)
# What makes attention something else than a softmax of products.
_OTHER = ("position_bias", "softcap", "cache")


def drop(values: Tensor, share: float) -> Tensor:
    """Returns values of which a share is 0, and the others scaled so that the mean stays."""
    limit = round(share * STEPS)
    if values.device.type != "cpu" or not 0 < limit < STEPS:
        return functional.dropout(values, share)
    count = values.numel()
    words = torch.empty(-(-count // WORD_BYTES), dtype=torch.int64).random_(LEAST_WORD, None)
    # In place: 1 where a value stays, in the bytes that were drawn.
    kept = words.view(torch.uint8)[:count].view(values.shape).ge_(limit)
    found: Tensor = _Drop.apply(values, kept, STEPS / (STEPS - limit))  # type: ignore[no-untyped-call]
    return found


class _Drop(torch.autograd.Function):
    """Values times 0 or a scale. What the backward pass needs is a byte a value, and each pass writes once."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, kept: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(kept)
        ctx.scale = scale
        return _times(values, kept, scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _times(gradient, ctx.saved_tensors[0], ctx.scale), None, None


def _times(values: Tensor, kept: Tensor, scale: float) -> Tensor:
    return kept.to(values.dtype).mul_(scale).mul_(values)


class Dropout(nn.Dropout):
    """As torch's, by bytes."""

    @override
    def forward(self, input: Tensor) -> Tensor:
        return drop(input, self.p) if self.training else input


def drop_by_bytes(base: nn.Module, *, attention: bool) -> None:
    """Lets a base, with what a method has put on it, drop by bytes in its layers, and in attention or there nothing."""
    for module in list(base.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p))
    config: Any = base.config
    if config._attn_implementation == "sdpa":
        config._attn_implementation = NAME if attention else WHOLE


def dropping(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """As transformers' attention by SDPA, which without dropout it is.

    Args:
        module: that attends.
        query: [rows, heads, tokens, size].
        key: [rows, heads, all tokens, size].
        value: as `key`.
        attention_mask: [rows, 1, tokens, all tokens], true where there is something to see; None for everywhere.
        dropout: share of the weights that is dropped.
        scaling: of the products.
        is_causal: whether tokens see none behind them.
        more: what other attentions take; it is not for this one.
    """
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    plain = not causal and query.shape[1] == key.shape[1] and all(more.get(name) is None for name in _OTHER)
    if not dropout or not plain:
        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, is_causal, **more
        )
        return found
    products = (query * (query.shape[-1] ** -0.5 if scaling is None else scaling)) @ key.transpose(2, 3)
    if attention_mask is not None:
        products = products.masked_fill(~attention_mask, -torch.inf)
    seen = drop(products.softmax(-1), dropout) @ value
    return seen.transpose(1, 2).contiguous(), None


def whole(*inputs: Any, dropout: float = 0.0, **more: Any) -> tuple[Tensor, None]:
    """As transformers' attention by SDPA, whatever it was to drop; it takes what `dropping` does."""
    found: tuple[Tensor, None] = sdpa_attention_forward(*inputs, **more)
    return found


for name, function in ((NAME, dropping), (WHOLE, whole)):
    ALL_ATTENTION_FUNCTIONS.register(name, function)
    ALL_MASK_ATTENTION_FUNCTIONS.register(name, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
