"""Fits a bundle's adapter to the base it will run on."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from symbiont.bundle.manifest import (
    Activation,
    AdaLoraMethod,
    BitFitMethod,
    HoulsbyMethod,
    LoraMethod,
    Method,
    PrefixMethod,
)
from symbiont.bundle.tensors import Array, Bottleneck, LoraPair, bottlenecks, folded, prefix_layers, shifts
from symbiont.common.errors import IntegrityError


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter of any kind: low-rank pairs by module, with all that scales them folded in; bottlenecks; shifts of
    biases, [out]; or a prefix.

    `prefix` is [2 * layers, virtual tokens, width], a layer's keys before its values.
    """

    pairs: Mapping[str, LoraPair] = field(default_factory=dict)
    bottlenecks: Mapping[str, Bottleneck] = field(default_factory=dict)
    activation: Activation = "gelu"
    prefix: Array | None = None
    shifts: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PrefixShape:
    """What a prefix must be like to fit a base."""

    layers: int
    # Of a layer's keys, and of its values, all heads together.
    width: int


def fit(
    method: Method,
    adapter: Mapping[str, Array],
    linears: Mapping[str, tuple[int, int]],
    biases: Mapping[str, int],
    prefix: PrefixShape | None,
) -> Adapter | None:
    """Returns the adapter, or None when it adds nothing to the base.

    `biases` are the modules that have one, with their outputs; `prefix` is None for a base that takes none.

    Every module that the method names must be there: one left out would silently answer like the base. A module that
    AdaLoRA pruned to rank 0 is left out of the result.

    Raises:
        IntegrityError: the adapter does not fit this base.
    """
    match method:
        case LoraMethod() | AdaLoraMethod():
            pairs = folded(method, adapter)
            _check_modules(pairs, filter(method.targets, linears))
            for name, pair in pairs.items():
                _check_widths(name, (pair.a.shape[1], pair.b.shape[0]), linears[name], "(in, out)")
            pairs = {name: pair for name, pair in pairs.items() if len(pair.a)}
            return Adapter(pairs=pairs) if pairs else None
        case HoulsbyMethod():
            layers = bottlenecks(adapter)
            _check_modules(layers, filter(method.targets, linears))
            for name, layer in layers.items():
                _check_widths(name, len(layer.up), linears[name][1], "outputs")
            return Adapter(bottlenecks=layers, activation=method.activation)
        case BitFitMethod():
            found = shifts(adapter)
            _check_modules(found, biases)
            for name, shift in found.items():
                _check_widths(name, len(shift), biases[name], "outputs")
            return Adapter(shifts=found)
        case PrefixMethod():
            return Adapter(prefix=_fit_prefix(adapter, prefix))
        case _:
            return None


def _fit_prefix(adapter: Mapping[str, Array], shape: PrefixShape | None) -> Array:
    if shape is None:
        raise IntegrityError("this base takes no prefix: its kind of encoder has no past keys and values")
    prefix = prefix_layers(adapter, shape.width)
    if len(prefix) != 2 * shape.layers:
        raise IntegrityError(f"the prefix is for {len(prefix) // 2} layers, the base has {shape.layers}")
    return prefix


def _check_modules(found: Collection[str], expected: Iterable[str]) -> None:
    if different := sorted(set(found) ^ set(expected)):
        raise IntegrityError(f"the adapter and the base differ in the modules {different[:4]}")


def _check_widths(name: str, found: object, expected: object, what: str) -> None:
    if found != expected:
        raise IntegrityError(f"the adapter of {name} is for {what} = {found}, the base has {expected}")
