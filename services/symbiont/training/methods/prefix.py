"""Prefix tuning by PEFT."""

from collections.abc import Mapping
from typing import Any

import peft
import torch
from torch import Tensor, nn
from typing_extensions import override

from symbiont.bundle import PrefixMethod as PrefixEntry
from symbiont.bundle.tensors import PREFIX_KEY
from symbiont.training.methods import Method, register
from symbiont.training.spec import PrefixMethod


class Prefixed(nn.Module):
    """A base behind the keys and values that PEFT keeps; PEFT's own forward drops the types of the tokens of a pair."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    @property
    def config(self) -> Any:
        """That of the base."""
        return self.model.config

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **more: Tensor) -> Any:
        """Takes what the base takes, and returns what it gives for these tokens; the virtual ones are masked in."""
        virtual = self.model.active_peft_config.num_virtual_tokens
        mask = torch.cat([attention_mask.new_ones(len(attention_mask), virtual), attention_mask], 1)
        past = self.model.get_prompt(len(input_ids))
        return self.model.get_base_model()(input_ids, attention_mask=mask, past_key_values=past, **more)


class Prefix(Method):
    """Keys and values of virtual tokens in every layer (Li and Liang 2021, arXiv 2101.00190)."""

    def apply(self, base: Any, settings: PrefixMethod) -> nn.Module:
        """Wraps the base; PEFT freezes it, and keeps keys and values of tokens that come before."""
        config = peft.PrefixTuningConfig(
            task_type=peft.TaskType.FEATURE_EXTRACTION,
            num_virtual_tokens=settings.virtual_tokens,
            prefix_projection=settings.projection_size is not None,
            encoder_hidden_size=settings.projection_size,  # type: ignore[arg-type]  # read where there is a projection
        )
        return Prefixed(peft.get_peft_model(base, config))

    def adapter(self, model: Any) -> Mapping[str, Tensor]:
        """Returns the keys and values, which a projection has become part of."""
        state: Mapping[str, Tensor] = peft.get_peft_model_state_dict(model.model)
        return state

    @override
    def take(self, model: Any, tensors: Mapping[str, Tensor]) -> None:
        """Takes keys and values, of a model that trains them themselves."""
        model.model.prompt_encoder["default"].embedding.weight.data.copy_(tensors[PREFIX_KEY])

    def entry(self, settings: PrefixMethod) -> PrefixEntry:
        """Returns the manifest's `prefix`."""
        return PrefixEntry(virtual_tokens=settings.virtual_tokens)


register("prefix", Prefix())
