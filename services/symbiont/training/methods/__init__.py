"""Tuning methods: what is trained on the frozen base beside the head.

A method is one file with one `register` call. The key is the field of `TrainingSpec` that chooses it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from symbiont.bundle import Method as MethodEntry

if TYPE_CHECKING:
    from torch import Tensor, nn


class Method:
    """How a method changes the base, and what of it goes into a bundle. `settings` are its field of the spec."""

    def apply(self, base: "nn.Module", settings: Any) -> "nn.Module":
        """Returns the base with the method's own parameters in it; only these require gradients."""
        raise NotImplementedError

    def adapter(self, model: "nn.Module") -> Mapping[str, "Tensor"]:
        """Returns the tensors of `adapter.safetensors`."""
        raise NotImplementedError

    def take(self, model: "nn.Module", tensors: "Mapping[str, Tensor]") -> None:
        """Takes back what `adapter` has given, of a model of the same shape; it must have given the parameters' own."""
        for name, tensor in self.adapter(model).items():
            tensor.data.copy_(tensors[name])

    def entry(self, settings: Any) -> MethodEntry:
        """Returns what the bundle's manifest says of the method."""
        raise NotImplementedError

    # Whether the base gives for a text what it gave before: then it is computed once.
    leaves_base = False
    # Whether the base itself is trained: then it is stored, and the bundle lives on that.
    makes_base = False

    def merged(self, model: "nn.Module") -> "nn.Module":
        """Returns the base with what was learnt in its own weights; the model is of no more use then."""
        raise NotImplementedError

    # What follows is for methods that do more than learn by gradient.

    def begin(self, model: "nn.Module", settings: Any, total_steps: int) -> None:
        """Is told how long the training is, before its first step and before `restore`."""

    def learning_rate_ratio(self, name: str, settings: Any) -> float:
        """Returns how many times faster a parameter learns than others."""
        return 1.0

    def penalty(self, model: "nn.Module", settings: Any) -> "Tensor | None":
        """Returns a term that is added to the loss of each step."""
        return None

    def after_step(self, model: "nn.Module", step: int) -> None:
        """Is called when the optimizer has made a step, from 1, while the gradients are still there."""

    def state(self, model: "nn.Module") -> Mapping[str, "Tensor"]:
        """Returns what the next step depends on beside weights, gradients and the step's number."""
        return {}

    def restore(self, model: "nn.Module", state: Mapping[str, "Tensor"], step: int) -> None:
        """Takes a state back, as it was after a step."""


_METHODS: dict[str, Method] = {}


def register(key: str, method: Method) -> None:
    """Adds a method; two of one name are an error."""
    if key in _METHODS:
        raise ValueError(f"tuning method {key!r} is registered twice")
    _METHODS[key] = method


def method_for(spec: Any) -> tuple[Method, Any]:
    """Returns the method that a TrainingSpec chooses, and its settings there."""
    # Importing registers them.
    from symbiont.training.methods import adalora, bitfit, full, head_only, houlsby, lora, prefix  # noqa: F401

    chosen = [(method, getattr(spec, key)) for key, method in _METHODS.items() if getattr(spec, key) is not None]
    if len(chosen) != 1:
        raise ValueError(f"a spec must choose one tuning method, this one chooses {len(chosen)}")
    return chosen[0]
