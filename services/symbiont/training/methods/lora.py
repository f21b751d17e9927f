"""LoRA by PEFT."""

from collections.abc import Mapping
from typing import Any

import peft
from torch import Tensor, nn
from typing_extensions import override

from symbiont.bundle import LoraMethod as LoraEntry
from symbiont.training.methods import Method, register
from symbiont.training.spec import LoraMethod


class Lora(Method):
    """Low-rank updates of linear layers (Hu et al. 2021, arXiv 2106.09685)."""

    def apply(self, base: Any, settings: LoraMethod) -> nn.Module:
        """Wraps the base; PEFT freezes everything but its own A and B."""
        config = peft.LoraConfig(
            task_type=peft.TaskType.FEATURE_EXTRACTION,
            r=settings.rank,
            lora_alpha=settings.alpha,  # type: ignore[arg-type]  # PEFT computes with any number
            lora_dropout=settings.dropout,
            target_modules=list(settings.target_modules),
            use_rslora=settings.rank_stabilized,
        )
        return peft.get_peft_model(base, config)

    def adapter(self, model: Any) -> Mapping[str, Tensor]:
        """Returns A and B under the names that PEFT saves them by."""
        state: Mapping[str, Tensor] = peft.get_peft_model_state_dict(model)
        return state

    def entry(self, settings: LoraMethod) -> LoraEntry:
        """Returns the manifest's `lora`."""
        alpha = settings.alpha if settings.alpha is not None else 2.0 * settings.rank
        return LoraEntry(
            rank=settings.rank,
            alpha=alpha,
            target_modules=settings.target_modules,
            rslora=settings.rank_stabilized,
        )

    @override
    def learning_rate_ratio(self, name: str, settings: LoraMethod) -> float:
        return settings.b_learning_rate_ratio if ".lora_B." in name else 1.0

    @override
    def merged(self, model: Any) -> nn.Module:
        base: nn.Module = model.merge_and_unload()
        return base


register("lora", Lora())
