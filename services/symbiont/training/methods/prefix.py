"""Prefix tuning by PEFT."""

from collections.abc import Mapping
from typing import Any

import peft
from torch import Tensor, nn

from symbiont.bundle import PrefixMethod as PrefixEntry
from symbiont.training.methods import Method, register
from symbiont.training.spec import PrefixMethod


class Prefix(Method):
    """Keys and values of virtual tokens in every layer (Li and Liang 2021, arXiv 2101.00190)."""

    def apply(self, base: Any, settings: PrefixMethod) -> nn.Module:
        """Wraps the base; PEFT freezes it, and hands it keys and values of tokens that came before."""
        config = peft.PrefixTuningConfig(
            task_type=peft.TaskType.FEATURE_EXTRACTION,
            num_virtual_tokens=settings.virtual_tokens,
            prefix_projection=settings.projection_size is not None,
            encoder_hidden_size=settings.projection_size,  # type: ignore[arg-type]  # read where there is a projection
        )
        return peft.get_peft_model(base, config)

    def adapter(self, model: Any) -> Mapping[str, Tensor]:
        """Returns the keys and values, which a projection has become part of."""
        state: Mapping[str, Tensor] = peft.get_peft_model_state_dict(model)
        return state

    def entry(self, settings: PrefixMethod) -> PrefixEntry:
        """Returns the manifest's `prefix`."""
        return PrefixEntry(virtual_tokens=settings.virtual_tokens)


register("prefix", Prefix())
