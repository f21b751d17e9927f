"""Houlsby adapters: PEFT has none."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from symbiont.bundle import HoulsbyMethod as HoulsbyEntry
from symbiont.bundle.tensors import PEFT_PREFIX
from symbiont.training.methods import Method, register
from symbiont.training.spec import HoulsbyMethod


class Bottlenecked(nn.Module):
    """A linear layer with a bottleneck on what it gives; at first it gives what the layer does."""

    def __init__(self, linear: nn.Linear, size: int) -> None:
        super().__init__()
        self.linear = linear
        self.adapter_down = nn.Linear(linear.out_features, size)
        self.adapter_up = nn.Linear(size, linear.out_features)
        nn.init.kaiming_uniform_(self.adapter_down.weight, a=math.sqrt(5))
        for zero in (self.adapter_down.bias, self.adapter_up.weight, self.adapter_up.bias):
            nn.init.zeros_(zero)

    def forward(self, inputs: Tensor) -> Tensor:
        """Takes [..., in] and returns [..., out]."""
        outputs = self.linear(inputs)
        changed: Tensor = outputs + self.adapter_up(functional.gelu(self.adapter_down(outputs)))
        return changed


class Houlsby(Method):
    """Bottlenecks behind the last layers of attention and feed-forward network (Houlsby et al. 2019, 1902.00751).

    As in the paper the residual is added after them; the base's layer norms stay frozen, as all of it does.
    """

    def apply(self, base: nn.Module, settings: HoulsbyMethod) -> nn.Module:
        """Freezes the base and puts a bottleneck behind each target."""
        base.requires_grad_(False)
        entry = self.entry(settings)
        targets = [name for name, module in base.named_modules() if isinstance(module, nn.Linear)]
        for name in filter(entry.targets, targets):
            path, _, leaf = name.rpartition(".")
            linear: Any = base.get_submodule(name)
            setattr(base.get_submodule(path), leaf, Bottlenecked(linear, settings.size))
        return base

    def adapter(self, model: nn.Module) -> Mapping[str, Tensor]:
        """Returns the bottlenecks' tensors, under the prefix that PEFT's have."""
        return {f"{PEFT_PREFIX}{name}": p for name, p in model.named_parameters() if ".adapter_" in name}

    def entry(self, settings: HoulsbyMethod) -> HoulsbyEntry:
        """Returns the manifest's `houlsby`."""
        return HoulsbyEntry(size=settings.size, target_modules=settings.target_modules)


register("houlsby", Houlsby())
