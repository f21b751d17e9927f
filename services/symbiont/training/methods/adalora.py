"""AdaLoRA by PEFT."""

from collections.abc import Mapping
from typing import Any

import peft
import torch
from torch import Tensor, nn
from typing_extensions import override

from symbiont.bundle import AdaLoraMethod as AdaLoraEntry
from symbiont.bundle.tensors import PEFT_PREFIX
from symbiont.training.methods import Method, register
from symbiont.training.spec import AdaLoraMethod

# Of the steps, those before anything is pruned, and those after the last pruning.
BEFORE, AFTER = 0.1, 0.3
ADAPTER = "default"


class AdaLora(Method):
    """Singular values that matter little are pruned, over all layers together (Zhang et al. 2023, arXiv 2303.10512)."""

    def apply(self, base: Any, settings: AdaLoraMethod) -> nn.Module:
        """Wraps the base; PEFT freezes everything but its own P, E and Q, which it calls B, E and A."""
        entry = self.entry(settings)
        config = peft.AdaLoraConfig(
            task_type=peft.TaskType.FEATURE_EXTRACTION,
            target_r=settings.rank,
            init_r=entry.rank,
            lora_alpha=entry.alpha,  # type: ignore[arg-type]  # PEFT computes with any number
            lora_dropout=settings.dropout,
            target_modules=list(settings.target_modules),
            # Known when `begin` is called.
            total_step=1,
        )
        return peft.get_peft_model(base, config)

    def adapter(self, model: Any) -> Mapping[str, Tensor]:
        """Returns what was not pruned; the names are those that PEFT saves them by."""
        found: dict[str, Tensor] = {}
        for name, module in _layers(model):
            kept = module.lora_E[ADAPTER].flatten() != 0
            found[f"{PEFT_PREFIX}{name}.lora_A"] = module.lora_A[ADAPTER][kept]
            found[f"{PEFT_PREFIX}{name}.lora_E"] = module.lora_E[ADAPTER][kept]
            found[f"{PEFT_PREFIX}{name}.lora_B"] = module.lora_B[ADAPTER][:, kept]
        return found

    @override
    def take(self, model: Any, tensors: Mapping[str, Tensor]) -> None:
        """What was pruned may grow again: its singular values are 0, and its vectors as they are at first."""
        for name, module in _layers(model):
            part = f"{PEFT_PREFIX}{name}"
            kept = len(tensors[f"{part}.lora_E"])
            module.lora_A[ADAPTER].data[:kept] = tensors[f"{part}.lora_A"]
            module.lora_E[ADAPTER].data.zero_()[:kept] = tensors[f"{part}.lora_E"]
            module.lora_B[ADAPTER].data[:, :kept] = tensors[f"{part}.lora_B"]

    def entry(self, settings: AdaLoraMethod) -> AdaLoraEntry:
        """Returns the manifest's `adalora`."""
        # Both are filled in when the job is made.
        initial = settings.initial_rank or settings.rank
        alpha = settings.alpha if settings.alpha is not None else 2.0 * initial
        return AdaLoraEntry(rank=initial, alpha=alpha, target_modules=settings.target_modules)

    @override
    def begin(self, model: Any, settings: AdaLoraMethod, total_steps: int) -> None:
        config = model.peft_config[ADAPTER]
        config.total_step = total_steps
        config.tinit, config.tfinal = int(BEFORE * total_steps), int(AFTER * total_steps)

    @override
    def penalty(self, model: Any, settings: AdaLoraMethod) -> Tensor | None:
        """Returns the mean distance of P and Q from orthogonal matrices, weighted."""
        if not settings.orthogonality:
            return None
        products = []
        for _, module in _layers(model):
            a, b = module.lora_A[ADAPTER], module.lora_B[ADAPTER]
            products += [a @ a.T, b.T @ b]
        distances = [torch.linalg.matrix_norm(product - torch.eye(len(product))) for product in products]
        return settings.orthogonality * torch.stack(distances).mean()

    @override
    def after_step(self, model: Any, step: int) -> None:
        model.base_model.update_and_allocate(step)

    @override
    def state(self, model: Any) -> Mapping[str, Tensor]:
        """Returns the moving averages of importance and of its uncertainty."""
        allocator = model.base_model.rankallocator
        averages = {"importance": allocator.exp_avg_ipt, "uncertainty": allocator.exp_avg_unc}
        return {f"{kind}:{name}": value for kind, values in averages.items() for name, value in values.items()}

    @override
    def restore(self, model: Any, state: Mapping[str, Tensor], step: int) -> None:
        allocator, config = model.base_model.rankallocator, model.peft_config[ADAPTER]
        allocator.reset_ipt()
        for key, value in state.items():
            kind, _, name = key.partition(":")
            averages = allocator.exp_avg_ipt if kind == "importance" else allocator.exp_avg_unc
            averages[name] = value
            # PEFT makes all of them where this one is missing, and computes it anew at each step.
            allocator.ipt[name] = torch.zeros_like(value)
        if step >= config.total_step - config.tfinal:
            # What was pruned for good is 0, and nothing else is.
            config.rank_pattern = {
                f"{name}.lora_E.{ADAPTER}": (module.lora_E[ADAPTER].flatten() != 0).tolist()
                for name, module in _layers(model)
            }


def _layers(model: Any) -> list[tuple[str, Any]]:
    """Returns the wrapped layers by the names that they have in the base."""
    modules = model.base_model.model.named_modules()
    return [(name, module) for name, module in modules if isinstance(module, peft.tuners.adalora.AdaLoraLayer)]


register("adalora", AdaLora())
