"""Converts an encoder of transformers to an OpenVINO graph, and marks the places where adapters go."""

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from openvino.frontend import FrontEndManager  # type: ignore[import-untyped]
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder  # type: ignore[import-untyped]
from torch import Tensor, nn

from symbiont.engine.encoders import Encoder

_LINEAR = re.compile(r"__module\.encoder\.(?P<module>.+)/aten::linear/(MatMul|Add)")


class LinearEnd(NamedTuple):
    """The node that ends a linear module, and the module's sizes, which the graph does not always tell."""

    node: str
    inputs: int
    outputs: int


@dataclass(frozen=True, slots=True)
class ConvertedEncoder:
    """A graph from ids, mask and further `inputs`, each int64 [rows, tokens], to hidden states [rows, tokens, hidden].

    Attributes:
        base_digest: of what was converted.
        model: an openvino.Model.
        inputs: names of `Inputs`' arrays, in order.
        linears: module -> where it ends.
        attentions: names of the attention nodes, by layer.
        heads: of attention, number and size.
    """

    base_digest: str
    model: Any
    inputs: tuple[str, ...]
    linears: dict[str, LinearEnd]
    attentions: list[str]
    heads: tuple[int, int]


def convert(encoder: Encoder) -> ConvertedEncoder:
    """Converts by tracing: exporting the graph names no modules and takes three times as long.

    Tracing keeps only the branches that it sees, so whoever uses the graph must compare its answers with the encoder's.

    Raises:
        RuntimeError: a linear module is not in the graph.
    """
    inputs = ["ids", "mask"] + ["types"] * encoder.form.has_types + ["positions"] * (encoder.facts.prefix is not None)
    # Different in size from each other and from 1; two of a mask's values, because one alone may be left out.
    examples = [torch.ones(2, 3, dtype=torch.long) for _ in inputs]
    examples[1][0, 2] = 0
    model = _translate(_Traceable(encoder.model, inputs).eval(), tuple(examples))
    linears, attentions = places(model, encoder.facts.linears)
    heads = encoder.model.config.num_attention_heads
    head_shape = heads, encoder.facts.hidden_size // heads
    return ConvertedEncoder(encoder.facts.digest, model, tuple(inputs), linears, attentions, head_shape)


def places(model: Any, sizes: Mapping[str, tuple[int, int]]) -> tuple[dict[str, LinearEnd], list[str]]:
    """Finds where adapters go by the names of nodes, which quantising and storing a graph leave as they are.

    Args:
        model: an openvino.Model.
        sizes: of each linear module, (in, out).

    Returns:
        the ends of linear modules, and the names of the attention nodes by layer.

    Raises:
        RuntimeError: a linear module is not in the graph.
    """
    ends: dict[str, str] = {}
    attentions: list[str] = []
    for node in model.get_ordered_ops():
        name = node.get_friendly_name()
        if match := _LINEAR.fullmatch(name):
            # The bias is added after the product, where there is one.
            ends[match["module"]] = name
        elif node.get_type_name() == "ScaledDotProductAttention":
            attentions.append(name)
    _check(sizes, ends)
    return {name: LinearEnd(ends[name], *size) for name, size in sizes.items()}, attentions


def _translate(module: nn.Module, examples: tuple[Tensor, ...]) -> Any:
    """Through the frontend itself: `openvino.convert_model` reports each call to a server of its maker."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(module, examples, check_trace=False)  # type: ignore[no-untyped-call]
        # In a variable, because what is loaded refers to it without keeping it.
        decoder = TorchScriptPythonDecoder(traced, example_input=examples)
        frontend = FrontEndManager().load_by_framework("pytorch")
        return frontend.convert(frontend.load(decoder))


class _Traceable(nn.Module):
    """Inputs by position, hidden states out: nothing optional."""

    def __init__(self, encoder: nn.Module, inputs: Iterable[str]) -> None:
        super().__init__()
        self.encoder = encoder
        arguments = {
            "ids": "input_ids",
            "mask": "attention_mask",
            "types": "token_type_ids",
            "positions": "position_ids",
        }
        self._arguments = [arguments[name] for name in inputs]

    def forward(self, *inputs: Tensor) -> Tensor:
        hidden: Tensor = self.encoder(**dict(zip(self._arguments, inputs, strict=True))).last_hidden_state
        return hidden


def _check(expected: Iterable[str], found: Iterable[str]) -> None:
    if missing := set(expected) - set(found):
        raise RuntimeError(f"modules not found in the converted graph: {sorted(missing)[:4]}")
