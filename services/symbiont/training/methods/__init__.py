"""Tuning methods: what is trained on the frozen base beside the head.

A method is one file with one `register` call. The key is the field of `TrainingSpec` that chooses it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from symbiont.bundle import Method as MethodEntry

if TYPE_CHECKING:
    from torch import Tensor, nn


class Method(Protocol):
    """How a method changes the base, and what of it goes into a bundle."""

    def apply(self, base: "nn.Module", settings: Any) -> "nn.Module":
        """Returns the base with the method's own parameters in it; only these require gradients."""

    def adapter(self, model: "nn.Module") -> Mapping[str, "Tensor"]:
        """Returns the tensors of `adapter.safetensors`."""

    def entry(self, settings: Any) -> MethodEntry:
        """Returns what the bundle's manifest says of the method."""


_METHODS: dict[str, Method] = {}


def register(key: str, method: Method) -> None:
    """Adds a method; two of one name are an error."""
    if key in _METHODS:
        raise ValueError(f"tuning method {key!r} is registered twice")
    _METHODS[key] = method


def method_for(spec: Any) -> tuple[Method, Any]:
    """Returns the method that a TrainingSpec chooses, and its settings there."""
    from symbiont.training.methods import head_only, lora  # noqa: F401, importing registers them

    chosen = [(method, getattr(spec, key)) for key, method in _METHODS.items() if getattr(spec, key) is not None]
    if len(chosen) != 1:
        raise ValueError(f"a spec must choose one tuning method, this one chooses {len(chosen)}")
    return chosen[0]
