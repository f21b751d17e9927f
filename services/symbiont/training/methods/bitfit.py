"""BitFit: the biases of the base (Ben Zaken et al. 2021, arXiv 2106.10199)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from symbiont.bundle import BitFitMethod as BitFitEntry
from symbiont.bundle.tensors import PEFT_PREFIX
from symbiont.training.methods import Method, register
from symbiont.training.spec import BitFitMethod
from symbiont.training.worker.errors import Unusable


class Shifted(nn.Module):
    """A module with a bias, and by how much that one is another; at first it is the same."""

    def __init__(self, module: nn.Module, width: int) -> None:
        super().__init__()
        self.module = module
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, inputs: Tensor) -> Tensor:
        """Takes [..., in] and returns [..., out]."""
        shifted: Tensor = self.module(inputs) + self.shift
        return shifted


class BitFit(Method):
    """Shifts of the biases of all linear layers and layer norms.

    What is trained is the change, so that weight decay draws towards the base and a bundle has what it adds to it.
    """

    def apply(self, base: nn.Module, settings: BitFitMethod) -> nn.Module:
        """Freezes the base and puts a shift behind each module with a bias.

        Raises:
            Unusable: the base has none.
        """
        base.requires_grad_(False)
        biased = {
            name: module.bias
            for name, module in base.named_modules()
            if isinstance(module, nn.Linear | nn.LayerNorm) and module.bias is not None
        }
        if not biased:
            raise Unusable("this base has no biases that could be trained: take another method")
        for name, bias in biased.items():
            path, _, leaf = name.rpartition(".")
            setattr(base.get_submodule(path), leaf, Shifted(base.get_submodule(name), len(bias)))
        return base

    def adapter(self, model: nn.Module) -> Mapping[str, Tensor]:
        """Returns the shifts, under the prefix that PEFT's tensors have."""
        return {f"{PEFT_PREFIX}{name}": p for name, p in model.named_parameters() if name.endswith(".shift")}

    def entry(self, settings: BitFitMethod) -> BitFitEntry:
        """Returns the manifest's `bitfit`."""
        return BitFitEntry()


register("bitfit", BitFit())
