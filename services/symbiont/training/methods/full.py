"""Full fine-tuning: the base itself is trained."""

from collections.abc import Mapping

from torch import Tensor, nn
from typing_extensions import override

from symbiont.bundle import NoMethod
from symbiont.training.methods import Method, register
from symbiont.training.spec import FullMethod


class Full(Method):
    """Trains every parameter of the base. What comes out is a base of its own, and a bundle of a head alone on it."""

    makes_base = True

    def apply(self, base: nn.Module, settings: FullMethod) -> nn.Module:
        """Returns the base, all of which requires gradients."""
        return base.requires_grad_(True)

    def adapter(self, model: nn.Module) -> Mapping[str, Tensor]:
        """Returns nothing: the changes are in the base."""
        return {}

    def entry(self, settings: FullMethod) -> NoMethod:
        """Returns the manifest's `none`: on its base nothing else was trained."""
        return NoMethod()

    @override
    def merged(self, model: nn.Module) -> nn.Module:
        return model


register("full", Full())
