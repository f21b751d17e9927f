"""Fits a bundle's adapter to the base it will run on."""

from collections.abc import Mapping

from symbiont.bundle.manifest import Method, NoMethod
from symbiont.bundle.tensors import Array, LoraPair, folded
from symbiont.common.errors import IntegrityError


def fit(method: Method, adapter: Mapping[str, Array], linears: Mapping[str, tuple[int, int]]) -> dict[str, LoraPair]:
    """Returns the pairs by module, all that scales them folded in; empty for the method `none`.

    A module that AdaLoRA pruned to rank 0 is left out: it adds nothing.

    Every module that the method names must be there: one left out would silently answer like the base.

    Raises:
        IntegrityError: the adapter does not fit this base.
    """
    if isinstance(method, NoMethod):
        return {}
    pairs = folded(method, adapter)
    targets = {name for name in linears if method.targets(name)}
    if set(pairs) != targets:
        different = sorted(set(pairs) ^ targets)
        raise IntegrityError(f"the adapter and the base differ in the modules {different[:4]}")
    for name, pair in pairs.items():
        found, expected = (pair.a.shape[1], pair.b.shape[0]), linears[name]
        if found != expected:
            raise IntegrityError(f"the adapter of {name} is for (in, out) = {found}, the base has {expected}")
    return {name: pair for name, pair in pairs.items() if len(pair.a)}
