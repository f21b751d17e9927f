"""No adapter: the head alone is trained."""

from collections.abc import Mapping

from torch import Tensor, nn

from symbiont.bundle import NoMethod
from symbiont.training.methods import Method, register
from symbiont.training.spec import HeadOnlyMethod


class HeadOnly(Method):
    """Freezes the base as it is."""

    leaves_base = True

    def apply(self, base: nn.Module, settings: HeadOnlyMethod) -> nn.Module:
        """Returns the frozen base."""
        return base.requires_grad_(False)

    def adapter(self, model: nn.Module) -> Mapping[str, Tensor]:
        """Returns nothing."""
        return {}

    def entry(self, settings: HeadOnlyMethod) -> NoMethod:
        """Returns the manifest's `none`."""
        return NoMethod()


register("head_only", HeadOnly())
